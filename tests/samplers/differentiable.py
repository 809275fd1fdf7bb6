"""First-order DARTS on any space of operations: the smallest sampler that trains architecture parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from src.samplers.plan import ARCHITECTURE, SEARCH, Plan, Update
from src.samplers.sampler import Sampler
from src.supernet.architecture import ArchitectureParameters, annealed


class Differentiable(Sampler):
    """After a warm-up of the weights alone: an update of the logits on a search batch, then one of a drawn path."""

    def __init__(
        self,
        sizes: Sequence[int],
        seed: int = 0,
        total_steps: int = 1,
        warmup: float = 0.25,
        lr: float = 0.02,
        weight: float = 0.1,
        **_: Any,
    ) -> None:
        """`warmup` share of the steps; `weight` of the expected number of the first choices, as a cost."""
        super().__init__(sizes, seed, total_steps)
        self.warmup, self.lr, self.weight, self.step = warmup, lr, weight, 0
        self.architecture = ArchitectureParameters(self.sizes)

    def architecture_optimizer(self) -> torch.optim.Optimizer:
        assert self.architecture is not None
        return torch.optim.Adam(self.architecture.parameters(), self.lr, betas=(0.5, 0.999), weight_decay=1e-3)

    @property
    def passes_per_step(self) -> int:
        return 2

    def warmup_steps(self, steps: int) -> int:
        return int(self.warmup * steps)

    def passes_in(self, steps: int) -> int:
        return 2 * steps - self.warmup_steps(steps)

    def plan(self) -> Plan:
        assert self.architecture is not None
        noise = self.architecture.noise(self.generator)
        weights = Update((self.architecture.hard_path(noise),))
        self.step += 1
        if self.step <= self.warmup_steps(self.total_steps):
            return [weights]
        return [self.architecture_update(noise), weights]

    def architecture_update(self, noise: Sequence[Tensor]) -> Update:
        assert self.architecture is not None
        temperature = annealed(self.step - 1, self.total_steps, 5.0, 0.5)
        route = self.architecture.soft_route(temperature, noise)
        penalty = self.weight * torch.stack([p[0] for p in self.architecture.probabilities()]).sum()
        return Update((route,), trains=ARCHITECTURE, data=SEARCH, penalty=penalty)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.step = state["step"]
