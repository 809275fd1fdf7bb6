"""One update shared among n processes: who runs what, and the one reduction that makes them equal again.

B images of a mini-batch, R routes of an update, n processes, N batch norms, S numbers in their running statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from src.runtime.devices import move
from src.supernet.batch_norm import Norm, norms_of
from src.supernet.path import Route

PARALLELISMS = ("ddp", "path_parallel")
LOOK_EVERY = 16
"""Updates between two looks at whether a process was asked to stop: on a GPU a look waits for the device."""


@dataclass
class UpdateStatistics:
    """Losses and hits of one update, the same on every process after `Parallelism.reduce`."""

    losses: Tensor
    """(R,) mean loss of each route."""
    hits: Tensor
    """(R,) images that each route classified correctly."""
    images: Tensor
    """(V, R, B) values of each image, as many as observers want; V may be 0."""
    stop: bool = False
    """Whether a process was asked to stop."""

    @classmethod
    def joined(cls, parts: Sequence[UpdateStatistics], batch: Tensor, values: int) -> UpdateStatistics:
        """The routes of all parts; of none a process without any, whose images (B, C, H, W) have `values` each."""
        if not parts:
            none = batch.new_zeros(0)
            return cls(none, none, batch.new_zeros(values, 0, len(batch)))
        if len(parts) == 1:
            return parts[0]
        images = torch.cat([part.images for part in parts], 1)
        return cls(torch.cat([part.losses for part in parts]), torch.cat([part.hits for part in parts]), images)


class Parallelism:
    """One process alone: everything is its own."""

    size, rank = 1, 0
    images = 1
    """Processes among which the images of a mini-batch are divided."""

    def mine(self, routes: Sequence[Route]) -> slice:
        """Which of the routes this process runs."""
        return slice(0, len(routes))

    def begin(self, net: nn.Module) -> None:
        """Called before the first forward of an update."""

    def reduce(self, net: nn.Module, statistics: UpdateStatistics, count: int) -> UpdateStatistics:
        """After the last backward of an update of `count` routes: make gradients, norms and losses those of all."""
        return statistics


class DataParallel(Parallelism):
    """Each process has its share of the images and runs all routes: gradients and running statistics are averaged.

    One flat all-reduce however many routes there are. The routes are the same everywhere, so the same parameters have a
    gradient; the others keep None.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size, self.images = rank, size, size
        self.updates = 0

    def reduce(self, net: nn.Module, statistics: UpdateStatistics, count: int) -> UpdateStatistics:
        """Average; hits are added up."""
        # one flat all-reduce for gradients, batch-norm statistics, losses, hits and the wish to stop
        gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
        shared = [*gradients, *_statistics(net)]
        share = statistics.images.shape[2]
        images = _placed(statistics.images, 2, self.rank * share, self.size * share)
        flat = _flat([*shared, images, statistics.losses, statistics.hits, _flags(statistics.stop)], net)
        distributed.all_reduce(flat)
        # back to where they came from, as means
        sizes = [t.numel() for t in (*shared, images)]
        *parts, values, losses, hits, stop = flat.split([*sizes, count, count, 1])
        for tensor, part in zip(shared, parts, strict=True):
            tensor.copy_(part.view(tensor.shape) / self.size)
        self.updates += 1
        # reading the flag waits for a GPU, so it is read now and then alone
        look = flat.device.type == "cpu" or self.updates % LOOK_EVERY == 0
        stop_asked = look and bool(stop.item())
        return UpdateStatistics(losses / self.size, hits.round().long(), values.view_as(images), stop_asked)


class PathParallel(Parallelism):
    """Each process runs its share of the routes on the same images: gradients are summed (FairNAS, Algorithm 2).

    Running statistics end as if one process had run all routes in their order. With momentum a, a norm that process r
    moved u_r times from s_0 to s_r ends at (1 - a)^u s_0 + sum over r of (1 - a)^v_r (s_r - (1 - a)^u_r s_0), where u
    is the sum of all u_r and v_r that of the later processes. All of it travels in one flat all-reduce, in which every
    process fills places of its own. On a GPU this process waits for it once an update, as with no other sharing:
    whether a parameter has a gradient, or keeps None, is for the other processes to say.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def mine(self, routes: Sequence[Route]) -> slice:
        """A contiguous share, so that the order of processes is that of routes; some have one more than others."""
        start, end = (len(routes) * rank // self.size for rank in (self.rank, self.rank + 1))
        return slice(start, end)

    def begin(self, net: nn.Module) -> None:
        """Keep s_0 and how often each norm was moved."""
        self.norms = _tracking(net)
        self.before, self.moved_before = self._statistics(), self._moved()

    def reduce(self, net: nn.Module, statistics: UpdateStatistics, count: int) -> UpdateStatistics:
        """Sum up."""
        parameters = list(net.parameters())
        has_gradient = [parameter.grad is not None for parameter in parameters]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        shares = torch.stack([self._places(share, count) for share in (statistics.losses, statistics.hits)])
        moved = self._moved() - self.moved_before
        delta = self._statistics() - self._kept() ** self._spread(moved) * self.before
        local = torch.cat([delta, moved.to(delta)])
        slots = torch.stack([local if r == self.rank else torch.zeros_like(local) for r in range(self.size)])
        images = _placed(statistics.images, 1, self._first(count), count)
        flat = _flat([*gradients, images, shares, slots, _flags(*has_gradient, statistics.stop)], net)
        distributed.all_reduce(flat)
        sizes = [p.numel() for p in parameters]
        *sums, values, shares, slots, flags = flat.split(
            [*sizes, images.numel(), 2 * count, slots.numel(), len(sizes) + 1]
        )
        *used, stop = flags.tolist()  # the one look of the host
        for parameter, has, total in zip(parameters, used, sums, strict=True):
            parameter.grad = _into(parameter, total) if has else None
        self._combine(slots.view(self.size, -1))
        hits = shares[count:].round().long()
        return UpdateStatistics(shares[:count], hits, values.view_as(images), bool(stop))

    def _combine(self, slots: Tensor) -> None:
        """`slots` hold each process's change of the statistics (S,) and its number of updates of each norm (N,)."""
        deltas, moved = slots[:, : len(self.before)], slots[:, len(self.before) :]
        later = moved.flip(0).cumsum(0).flip(0) - moved
        kept = self._kept()
        total = kept ** self._spread(moved.sum(0)) * self.before
        for r in range(self.size):
            total = total + kept ** self._spread(later[r]) * deltas[r]
        targets = [buffer for norm in self.norms for buffer in _buffers(norm)]
        for buffer, part in zip(targets, total.split([b.numel() for b in targets]), strict=True):
            buffer.copy_(part)
        for norm, count in zip(self.norms, (self.moved_before + moved.sum(0).double()).unbind(), strict=True):
            norm.num_batches_tracked.copy_(count)  # type: ignore[union-attr]

    def _places(self, share: Tensor, count: int) -> Tensor:
        """(count,) with this process's values where its routes are."""
        places = torch.zeros(count, dtype=torch.float64, device=share.device)
        places[self._first(count) :][: len(share)] = share
        return places

    def _first(self, count: int) -> int:
        """The first of `count` routes that is this process's."""
        return count * self.rank // self.size

    def _statistics(self) -> Tensor:
        """(S,) of all norms one after another."""
        return torch.cat([buffer.flatten() for norm in self.norms for buffer in _buffers(norm)] or [torch.zeros(0)])

    def _moved(self) -> Tensor:
        """(N,)"""
        counts = [norm.num_batches_tracked for norm in self.norms]
        return torch.stack(counts).double() if counts else torch.zeros(0)  # type: ignore[arg-type]

    def _kept(self) -> Tensor:
        """(S,) 1 - a of the norm that each number belongs to."""
        kept = torch.tensor([1 - float(norm.momentum or 0) for norm in self.norms], dtype=self.before.dtype)
        return self._spread(move(kept, self.before.device))

    def _spread(self, values: Tensor) -> Tensor:
        """(N,) -> (S,): a value of each norm to all its numbers."""
        sizes = torch.tensor([2 * norm.num_features for norm in self.norms], dtype=torch.int64)
        return values.repeat_interleave(move(sizes, values.device), output_size=int(sizes.sum()))


def _tracking(net: nn.Module) -> list[Norm]:
    return [norm for norm in norms_of([net]) if norm.running_mean is not None]


def _buffers(norm: Norm) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def _statistics(net: nn.Module) -> list[Tensor]:
    return [buffer for norm in _tracking(net) for buffer in _buffers(norm)]


def _flat(tensors: Sequence[Tensor], net: nn.Module) -> Tensor:
    """All in one vector, of the net's own type and on its device."""
    first = next(net.parameters())
    return torch.cat([move(tensor.reshape(-1).to(first.dtype), first.device) for tensor in tensors])


def _placed(values: Tensor, dim: int, start: int, total: int) -> Tensor:
    """Zeros of size `total` in one dimension, with `values` from `start` on: their sum over all is everybody's."""
    shape = [*values.shape[:dim], total, *values.shape[dim + 1 :]]
    whole = values.new_zeros(shape)
    whole.narrow(dim, start, values.shape[dim]).copy_(values)
    return whole


def _flags(*values: bool) -> Tensor:
    return torch.tensor([float(value) for value in values])


def _into(parameter: nn.Parameter, values: Tensor) -> Tensor:
    """A gradient in the parameter's memory format."""
    return torch.empty_like(parameter).copy_(values.view(parameter.shape))
