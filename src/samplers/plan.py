"""A sampler's plan for one mini-batch: which routes are trained together, and in which order.

R routes of an update.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from src.supernet.path import OpId, Route

WEIGHTS, ARCHITECTURE = "weights", "architecture"
"""The sets of parameters that an update can train."""

TRAIN, SEARCH = "train", "search"
"""Where its images come from: the step's mini-batch, or one of the half of the training part kept for architecture."""


@dataclass(frozen=True)
class Update:
    """The routes whose gradients are summed before one optimizer step, taken at lr * lr_scale."""

    routes: tuple[Route, ...]
    lr_scale: float = 1.0
    weights: tuple[float, ...] | None = None
    """(R,) factors of the routes' losses; None: 1 each."""
    op_scales: tuple[tuple[OpId, float], ...] | None = None
    """Factors of the gradients of operations, each named once, before clipping; None: 1 each."""
    trains: str = WEIGHTS
    """WEIGHTS, or ARCHITECTURE: the sampler's logits, which leaves weights and batch-norm statistics alone."""
    data: str = TRAIN
    penalty: Tensor | None = None
    """() added to the loss, such as an expected cost; differentiable in what the update trains."""

    def __post_init__(self) -> None:
        if self.weights is not None and len(self.weights) != len(self.routes):
            raise ValueError(f"{len(self.weights)} weights for {len(self.routes)} routes")


Plan = list[Update]
"""One supernet step: all the updates made on one mini-batch, in order."""
