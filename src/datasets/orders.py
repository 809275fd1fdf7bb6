"""The order in which an epoch visits the training images.

N images of the training part, B images of a mini-batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from src.runtime.seeds import mix


class Order(ABC):
    """The images of each training epoch; an option of conf/order.

    It is drawn by the main process at the beginning of an epoch, after the last one was observed. Asked again within
    the epoch, also after a resume, it gives the same positions: what an order learns counts from the next epoch on.
    """

    least_epochs: ClassVar[int] = 1
    """Epochs below which it is no other than a shuffle; 2 for orders that learn."""

    def __init__(self, count: int, seed: int, epochs: float = 1.0) -> None:
        """`count` images of an epoch, N if it visits them all; `epochs` of the whole run, for schedules."""
        self.count, self.seed, self.epochs = count, seed, epochs

    @abstractmethod
    def draw(self, epoch: int) -> Tensor:
        """(N,) int64 positions in the training part, for one epoch counted from 0; some may come more than once."""

    def weights(self, positions: Tensor) -> Tensor | None:
        """(B,) factors of the losses of the images at `positions` (B,) in the epoch drawn last; None: 1 each."""
        return None

    def epoch_rows(self, labels: Tensor) -> list[dict[str, Any]]:
        """Rows of importance.csv about the last whole epoch; `labels` (N,) of the training part."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """All that this and the next draws depend on besides the epoch; plain values and tensors."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - a shuffle has no state
        """Go on exactly where `state_dict` was taken."""


class Shuffle(Order):
    """Every image once an epoch, in an order that depends on the seed and the epoch alone."""

    def draw(self, epoch: int) -> Tensor:
        """A uniform permutation (N,)."""
        return torch.randperm(self.count, generator=torch.Generator().manual_seed(mix(self.seed, epoch)))
