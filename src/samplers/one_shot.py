"""One-Shot with path dropout: all choices of a layer at once, some dropped out (Bender et al. 2018).

m choices of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from src.runtime.errors import UsageError, unknown
from src.samplers.plan import Plan, Update
from src.samplers.sampler import Sampler

COMBINE = ("mean", "sum")


class OneShot(Sampler):
    """One update of one route of weight vectors per mini-batch.

    Each choice is dropped with a rate that rises linearly over the run from 0 to r^(1/m), m being the fan-in of the
    layer's sum, so that a layer loses all its choices with probability r at the end; one of them is then kept, drawn
    uniformly, since a layer-by-layer net has nothing else to pass on. The paper sums what is left; `mean` (ours, and
    the default) keeps the scale at which single paths are scored later.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        seed: int = 0,
        total_steps: int = 1,
        r: float = 0.1,
        combine: str = "mean",
        ghost_batch: int | None = 32,
    ) -> None:
        """`r` in [0, 1); `ghost_batch` images are normalised together (the paper: 32)."""
        super().__init__(sizes, seed, total_steps)
        if not 0 <= r < 1:
            raise UsageError(f"sampler.r={r}: use a drop-out strength in [0, 1)")
        if combine not in COMBINE:
            raise unknown("sampler.combine", combine, COMBINE)
        # batch norm in training needs two values a channel
        if ghost_batch is not None and ghost_batch < 2:
            raise UsageError(f"sampler.ghost_batch={ghost_batch}: use 2 or more images, or null for none")
        self.r, self.combine, self.ghost_batch = r, combine, ghost_batch
        self.step = 0

    @property
    def passes_per_step(self) -> int:
        """One pass, though it runs every choice that is left."""
        return 1

    def plan(self) -> Plan:
        """One update of one weighted route."""
        progress = min(self.step / max(self.total_steps - 1, 1), 1.0)
        self.step += 1
        return [Update((tuple(self._weights(size, progress) for size in self.sizes),))]

    def _weights(self, size: int, progress: float) -> Tensor:
        """Weights (m,) of a layer's choices: 0 for those dropped out."""
        rate = progress * self.r ** (1 / size)
        kept = (torch.rand(size, generator=self.generator) >= rate).float()
        survivor = int(torch.randint(size, (), generator=self.generator))
        if not kept.any():
            kept[survivor] = 1.0
        return kept / kept.sum() if self.combine == "mean" else kept

    def state_dict(self) -> dict[str, Any]:
        """The generator and the step the drop-out rate has come to."""
        return super().state_dict() | {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        super().load_state_dict(state)
        self.step = state["step"]
