"""The order in which an epoch visits the training images."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from src.runtime.seeds import mix


class Order(Protocol):
    """The order of a training epoch; `Dataset.train_loader(order=...)` takes any, such as one that draws by importance.

    It must not depend on how images are read: the same for any number of workers, and drawn by the main process.
    """

    def draw(self, epoch: int) -> Tensor:
        """Positions in the training part, (N,) int64, for one epoch counted from 0."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next `draw` depends on besides the epoch."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved state."""


class Shuffle:
    """Every image once an epoch, in an order that depends on the seed and the epoch alone."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def draw(self, epoch: int) -> Tensor:
        """A uniform permutation (N,)."""
        return torch.randperm(self.count, generator=torch.Generator().manual_seed(mix(self.seed, epoch)))

    def state_dict(self) -> dict[str, Any]:
        """Empty, since the seed comes from the configuration."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Ignore the state, which is empty."""
