"""Which training images each step sees, decided apart from how they are loaded, and resumable at any step.

N images, B images of a mini-batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from src.datasets.orders import Order
from src.runtime.errors import UsageError
from src.runtime.seeds import mix


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


class DataShard(NamedTuple):
    """The part of each mini-batch that one of several processes loads."""

    rank: int = 0
    ranks: int = 1

    def of(self, count: int) -> slice:
        """Which of `count` images it is: neighbours, so many for each process."""
        each = count // self.ranks
        return slice(self.rank * each, (self.rank + 1) * each)


ALL = DataShard()


class Stream:
    """The mini-batches of a whole run, `steps` of them, epoch after epoch; an incomplete last batch is left out."""

    def __init__(
        self, order: Order, count: int, batch_size: int, steps: int, seed: int, share: DataShard = ALL
    ) -> None:
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
