"""A sampler's plan for one mini-batch: which routes are trained together, and in which order."""

from __future__ import annotations

from dataclasses import dataclass

from src.supernet.path import Route


@dataclass(frozen=True)
class Update:
    """The routes whose gradients are summed before one optimizer step, taken at lr * lr_scale."""

    routes: tuple[Route, ...]
    lr_scale: float = 1.0


Plan = list[Update]
"""One supernet step: all the updates made on one mini-batch, in order."""
