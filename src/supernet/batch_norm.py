"""The batch norm layer of supernets: in training it normalises ghost batches, or several paths' batches, one by one.

B batch, C channels, H W size. The statistics that paths are scored with are the subject of bn_protocols.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

Norm = nn.modules.batchnorm._BatchNorm
"""Batch norms of ours and of torch."""


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm2d that knows, in training, which images of its input are normalised together.

    Input and output (B, C, H, W). With the settings below as they are it is nn.BatchNorm2d exactly.
    """

    ghost_batch: int | None = None
    """Images of a training batch that are normalised together (Hoffer et al. 2017); None: all of them."""
    stacked: int = 1
    """Number of paths whose batches the input holds one after another; each is normalised on its own, in this order."""
    repeats: int = 1
    """The running statistics get a momentum update equivalent to `repeats` identical batches."""
    synchronised: bool = False
    """Batches are normalised over all processes, which must have equal numbers of images."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W); in training the running statistics are updated once per ghost batch and repeat."""
        if not self.training:
            return super().forward(x)
        # First by path, then by ghost batch: no ghost batch may mix the images of two paths.
        parts = [ghost for path in x.chunk(self.stacked) for ghost in ghost_batches(path, self.ghost_batch)]
        if len(parts) > 1:
            return torch.cat([self.normalise(part) for part in parts])
        if self.repeats == 1:
            return self.normalise(x)
        if not self.track_running_stats:  # frozen for now
            return self.normalise(x)
        # R updates r <- (1 - a) r + a s with one s equal a single one with 1 - (1 - a)^R in the place of a.
        assert self.momentum is not None  # None, a cumulative average, is for scoring alone
        momentum = 1 - (1 - self.momentum) ** self.repeats
        if self.synchronised:
            return synchronised_batch_norm(x, self, momentum, self.repeats)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(self.repeats)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, momentum, self.eps)

    def normalise(self, x: Tensor) -> Tensor:
        """One batch (B, C, H, W) normalised as a whole, over all processes if they are synchronised."""
        return synchronised_batch_norm(x, self) if self.synchronised else super().forward(x)


def ghost_batches(x: Tensor, images: int | None) -> Sequence[Tensor]:
    """A batch (B, C, H, W) in parts of at least `images` images; None: in one part."""
    if images is None or x.shape[0] <= images:
        return (x,)
    # A last part of one image would have no variance at 1x1, so a remainder is spread over the other parts.
    return x.tensor_split(x.shape[0] // images)


def synchronised_batch_norm(x: Tensor, norm: nn.BatchNorm2d, momentum: float | None = None, repeats: int = 1) -> Tensor:
    """x (B, C, H, W) normalised by mean and variance over the images of all processes, which also update the buffers.

    `momentum` None is the norm's own. Costs two all-reduces of C numbers forward and two backward; written here because
    torch's SyncBatchNorm needs a GPU.
    """
    processes = distributed.get_world_size()
    mean = AllReduceSum.apply(x.mean((0, 2, 3))) / processes
    # Centred first: E[x^2] - E[x]^2 would cancel badly in float32.
    centred = x - mean[:, None, None]
    variance = AllReduceSum.apply(centred.square().mean((0, 2, 3))) / processes
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        momentum = norm.momentum if momentum is None else momentum
        assert momentum is not None
        assert norm.num_batches_tracked is not None
        count = processes * x.numel() / x.shape[1]
        norm.running_mean.lerp_(mean.detach(), momentum)
        norm.running_var.lerp_(variance.detach() * count / (count - 1), momentum)  # unbiased, as torch keeps it
        norm.num_batches_tracked.add_(repeats)
    y = centred * (variance + norm.eps).rsqrt()[:, None, None]
    return y if norm.weight is None else y * norm.weight[:, None, None] + norm.bias[:, None, None]


class AllReduceSum(torch.autograd.Function):
    """Sum of a tensor of any shape over all processes; its gradient is summed over all processes too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """All-reduce a copy of `value`."""
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """All-reduce a copy of the gradient."""
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def norms_of(modules: Iterable[nn.Module]) -> list[Norm]:
    """The batch norms in the modules, in order."""
    return [part for module in modules for part in module.modules() if isinstance(part, Norm)]


def synchronise(net: nn.Module) -> None:
    """Let every BatchNorm of `net` normalise training batches over all processes."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.synchronised = True


def set_ghost_batch(net: nn.Module, images: int | None) -> None:
    """Let every BatchNorm of `net` normalise `images` images at a time in training; None: the whole batch."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.ghost_batch = images


@contextmanager
def frozen_statistics(net: nn.Module) -> Iterator[None]:
    """In the block, batch norms in training normalise by the batch and leave their running statistics alone."""
    tracking = [norm for norm in norms_of([net]) if norm.track_running_stats]
    for norm in tracking:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True


@contextmanager
def stacked(modules: Iterable[nn.Module], paths: int) -> Iterator[None]:
    """In the block the modules take the batches of `paths` paths, stacked along B, as one input."""
    with norms_set(modules, "stacked", paths):
        yield


@contextmanager
def repeated(modules: Iterable[nn.Module], times: int) -> Iterator[None]:
    """In the block one pass through the modules stands for `times` passes of the same images."""
    with norms_set(modules, "repeats", times):
        yield


@contextmanager
def norms_set(modules: Iterable[nn.Module], setting: str, value: int) -> Iterator[None]:
    """In the block `setting` of all batch norms has this value, then 1 again, also when the block raises."""
    norms = norms_of(modules)
    for norm in norms:
        setattr(norm, setting, value)
    try:
        yield
    finally:
        for norm in norms:
            setattr(norm, setting, 1)
