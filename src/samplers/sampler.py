"""Base of all samplers: a plan for each mini-batch, drawn from its own generator.

L layers, m choices of a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from src.datasets.input_spec import InputSpec
from src.runtime.seeds import mix
from src.samplers.observation import Observation
from src.samplers.plan import Plan
from src.search_spaces.space import SearchSpace
from src.supernet.architecture import ArchitectureParameters
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet

STREAM = 1  # keeps a sampler's draws apart from others that start from the same seed


class PlannedRun(NamedTuple):
    """Length and images of a run, known before its first step."""

    steps: int
    epochs: float
    input_spec: InputSpec


class Sampler(ABC):
    """Decides which paths each supernet step trains; an Observer, which most samplers make no use of.

    Its generator is its own and the same on every rank; nothing else draws from it, validation least of all.
    """

    takes_masks: bool = False
    """Whether its plans suit decisions over widths and depths, which no plan can deal one by one."""

    ghost_batch: int | None = None
    """Images per ghost batch of batch normalisation while training; None: the whole mini-batch."""

    wants: frozenset[str] = frozenset()
    """Parts of an observation that cost extra: observation.GRADIENT_NORMS, observation.IMAGES."""

    architecture: ArchitectureParameters | None = None
    """Logits that its plans train beside the weights; half of the training part is then kept for them."""

    architecture_clip_norm: float | None = None
    """Largest norm of the logits' gradient; None: no clipping."""

    def __init__(self, sizes: Sequence[int], seed: int = 0, total_steps: int = 1) -> None:
        """`sizes` (L,) choices of each layer; `total_steps` supernet steps of the whole run, for schedules."""
        self.sizes = tuple(sizes)
        self.total_steps = total_steps
        self.generator = torch.Generator().manual_seed(mix(seed, STREAM))

    def prepare(self, space: SearchSpace, net: Supernet, run: PlannedRun) -> None:
        """Look at the space, its supernet and the run before the first plan."""
        self.total_steps = run.steps

    def architecture_optimizer(self) -> torch.optim.Optimizer:
        """A fresh optimizer of the logits, at their learning rate."""
        raise NotImplementedError

    def architecture_schedule(self, step: int) -> float:
        """The logits' learning rate in a supernet step, as a share of the optimizer's initial one."""
        return 1.0

    @property
    @abstractmethod
    def passes_per_step(self) -> int:
        """Backward passes of one supernet step, the largest number where it changes."""

    def passes_in(self, steps: int) -> int:
        """Backward passes of a run of so many steps."""
        return steps * self.passes_per_step

    @abstractmethod
    def plan(self) -> Plan:
        """The updates for the next mini-batch."""

    def observe(self, observation: Observation) -> None:  # noqa: B027 - most samplers learn nothing
        """Look at what an update showed, after its optimizer step."""

    def epoch_rows(self, labels: Tensor) -> list[dict[str, Any]]:
        """Rows of importance.csv about the last whole epoch; none of a sampler that learns nothing."""
        return []

    def elite_space(self) -> dict[str, Any] | None:
        """Contents of elite_space.yaml at the end of a run; None of a sampler that searches no network spaces."""
        return None

    def uniform_path(self) -> ArchPath:
        """A path with each choice of each layer drawn with probability 1 / m, independently."""
        return tuple(int(torch.randint(size, (), generator=self.generator)) for size in self.sizes)

    def permutation(self, size: int) -> list[int]:
        """A uniform permutation of 0..size-1."""
        return torch.randperm(size, generator=self.generator).tolist()

    def state_dict(self) -> dict[str, Any]:
        """All that the next plans depend on."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.generator.set_state(state["generator"])
