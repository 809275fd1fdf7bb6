"""The mini-batches of a training run as positions and seeds, apart from how images are read; resumable at any step.

N images, B images of a mini-batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

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
    whole: Tensor
    """(B,) int64 positions of the whole mini-batch."""
    weights: Tensor | None
    """Factors of the losses of the images at `positions`; None: 1 each."""


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
    """The mini-batches of a whole run of `steps` steps, epoch by epoch; an incomplete last batch is left out."""

    def __init__(
        self, order: Order, count: int, batch_size: int, steps: int, seed: int, shard: DataShard = ALL
    ) -> None:
        if batch_size > count:
            raise UsageError(f"batch_size={batch_size} is more than the {count} training images: use at most {count}")
        self.order, self.batch_size, self.steps, self.seed = order, batch_size, steps, seed
        self.epoch_steps = count // batch_size
        self.start, self.shard = 0, shard

    def __iter__(self) -> Iterator[list[BatchRequest]]:
        """The requests of each epoch, from step `start` on.

        The order is drawn when an epoch is asked for. Whoever reads ahead must not ask before the epoch before it was
        trained on: an order may learn from it.
        """
        # the first epoch may begin in its middle, after a resume, and the last one end there
        step = self.start
        while step < self.steps:
            epoch, first = divmod(step, self.epoch_steps)
            last = min(self.epoch_steps, first + self.steps - step)
            positions = self.order.draw(epoch)
            yield [self._request(positions, epoch, at) for at in range(first, last)]
            step += last - first

    def _request(self, positions: Tensor, epoch: int, at: int) -> BatchRequest:
        """Mini-batch `at` of an epoch that visits `positions` (N,)."""
        whole, mine = positions[at * self.batch_size : (at + 1) * self.batch_size], self.shard.of(self.batch_size)
        # the seed is of (epoch, batch) alone, so a resumed run augments as one that was never interrupted
        seed, weights = mix(self.seed, epoch, at), self.order.weights(whole[mine])
        return BatchRequest(whole[mine], seed, mine.start, whole, weights)

    def state_dict(self, step: int) -> dict[str, Any]:
        """The state to resume from after `step` consumed steps: loaders read ahead, so the stream cannot count them."""
        return {"step": step, "order": self.order.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume where `state_dict` was taken."""
        self.start = state["step"]
        self.order.load_state_dict(state["order"])
