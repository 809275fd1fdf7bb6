"""The mini-batches of a training run as positions and seeds, apart from how images are read; resumable at any step.

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


class BatchRequest(NamedTuple):
    """One mini-batch to read and augment, or a process's shard of it."""

    positions: Tensor
    """(B,) int64 in the training part; of a shard (B / processes,)."""
    seed: int
    """Seed of the augmentation of the whole mini-batch."""
    first: int
    """Index in the mini-batch at which the shard begins."""
    total: int
    """B"""


class DataShard(NamedTuple):
    """The part of each mini-batch that one of several processes loads."""

    rank: int = 0
    ranks: int = 1

    def of(self, count: int) -> slice:
        """The slice of `count` images that is this process's: equal runs of neighbours."""
        each = count // self.ranks
        return slice(self.rank * each, (self.rank + 1) * each)


ALL = DataShard()


class Stream:
    """The mini-batches of a whole run, `steps` of them, epoch after epoch; an incomplete last batch is left out."""

    def __init__(
        self, order: Order, count: int, batch_size: int, steps: int, seed: int, shard: DataShard = ALL
    ) -> None:
        if batch_size > count:
            raise UsageError(f"batch_size={batch_size} is more than the {count} training images: use at most {count}")
        self.order, self.batch_size, self.steps, self.seed = order, batch_size, steps, seed
        self.epoch_steps = count // batch_size
        self.start, self.shard = 0, shard
        # epoch -> state of the order before it was drawn; several at once, since loaders read ahead into the next epoch
        self._orders: dict[int, dict[str, Any]] = {}

    def __iter__(self) -> Iterator[BatchRequest]:
        """Requests from step `start` on."""
        positions = torch.empty(0)
        for step in range(self.start, self.steps):
            epoch, at = divmod(step, self.epoch_steps)
            # at the start of an epoch, or in the middle of one after a resume
            if at == 0 or step == self.start:
                self._orders[epoch] = self.order.state_dict()
                positions = self.order.draw(epoch)
            batch = positions[at * self.batch_size : (at + 1) * self.batch_size]
            mine = self.shard.of(self.batch_size)
            # the seed is of (epoch, batch) alone, so a resumed run augments as one that was never interrupted
            yield BatchRequest(batch[mine], mix(self.seed, epoch, at), mine.start, self.batch_size)

    def state_dict(self, step: int) -> dict[str, Any]:
        """The state to resume from after `step` consumed steps: loaders read ahead, so the stream cannot count them."""
        epoch = step // self.epoch_steps
        self._orders = {e: state for e, state in self._orders.items() if e >= epoch}  # steps only grow
        return {"step": step, "order": self._orders.get(epoch, self.order.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where `state_dict` was taken."""
        self.start = state["step"]
        self.order.load_state_dict(state["order"])
