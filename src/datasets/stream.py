"""Which training images each step sees, decided apart from how they are loaded, and resumable at any step.

N images, B images of a mini-batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from src.errors import UsageError


class Order(Protocol):
    """The order of a training epoch: swap it to draw images by importance instead of shuffling them."""

    def draw(self, epoch: int) -> Tensor:
        """Positions in the training part, (N,) int64, for one epoch counted from 0."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next `draw` depends on besides the epoch."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a saved state back."""


class Shuffle:
    """Every image once an epoch, in an order that depends on the seed and the epoch alone."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def draw(self, epoch: int) -> Tensor:
        """A uniform permutation (N,)."""
        return torch.randperm(self.count, generator=torch.Generator().manual_seed(mix(self.seed, epoch)))

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the seed comes from the configuration."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take back."""


class Draw(NamedTuple):
    """One mini-batch to load, or a process's share of it."""

    positions: Tensor
    """(B,) in the training part, or a share of them."""
    seed: int
    """Of the augmentation of the whole mini-batch."""
    first: int
    """Where in the mini-batch the share begins."""
    total: int
    """B"""


class Share(NamedTuple):
    """The part of each mini-batch that one of several processes loads."""

    rank: int = 0
    ranks: int = 1

    def of(self, count: int) -> slice:
        """Which of `count` images it is: neighbours, so many for each process."""
        each = count // self.ranks
        return slice(self.rank * each, (self.rank + 1) * each)


ALL = Share()


class Stream:
    """The mini-batches of a whole run, `steps` of them, epoch after epoch; an incomplete last batch is left out."""

    def __init__(self, order: Order, count: int, batch_size: int, steps: int, seed: int, share: Share = ALL) -> None:
        if batch_size > count:
            raise UsageError(f"batch_size={batch_size} is more than the {count} training images: use at most {count}")
        self.order, self.batch_size, self.steps, self.seed = order, batch_size, steps, seed
        self.epoch_steps = count // batch_size
        self.start, self.share = 0, share
        self._orders: dict[int, dict[str, Any]] = {}  # epoch -> state of the order before it was drawn

    def __iter__(self) -> Iterator[Draw]:
        """Draws from step `start` on."""
        positions = torch.empty(0)
        for step in range(self.start, self.steps):
            epoch, at = divmod(step, self.epoch_steps)
            if at == 0 or step == self.start:
                self._orders[epoch] = self.order.state_dict()
                positions = self.order.draw(epoch)
            batch = positions[at * self.batch_size : (at + 1) * self.batch_size]
            mine = self.share.of(self.batch_size)
            yield Draw(batch[mine], mix(self.seed, epoch, at), mine.start, self.batch_size)

    def state_dict(self, step: int) -> dict[str, Any]:
        """What is needed to go on after `step` steps; loaders read ahead, so they say how many were consumed."""
        epoch = step // self.epoch_steps
        self._orders = {e: state for e, state in self._orders.items() if e >= epoch}  # nobody goes back
        return {"step": step, "order": self._orders.get(epoch, self.order.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.start = state["step"]
        self.order.load_state_dict(state["order"])


def mix(*parts: int) -> int:
    """One 63-bit seed out of several numbers, by NumPy's SeedSequence: neighbours give unrelated streams."""
    return int(np.random.SeedSequence([part % 2**64 for part in parts]).generate_state(1, np.uint64)[0] >> 1)
