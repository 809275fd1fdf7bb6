"""Batch normalisation in a supernet: ghost batches and several paths at once in training, four protocols in scoring.

Which statistics a path is scored with moves rankings, so every score table names its protocol:
`running` the supernet's own (FairNAS), `batch` those of the scored batch (Bender et al. 2018, PA&DA), `adapt` a few
train-mode forwards without reset (20 in the inter-choice paper), `recalibrate` reset, then exact
cumulative averages over fixed calibration batches (SPOS).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from src.runtime.errors import UsageError


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm2d that knows, in training, which images of its input belong together.

    Input and output (B, C, H, W). With the settings below as they are it is nn.BatchNorm2d exactly.
    """

    ghost_batch: int | None = None
    """So many images of a training batch are normalised on their own (Hoffer et al. 2017); None: all together."""
    stacked: int = 1
    """The input is so many paths' batches one after another: each is normalised on its own, in this order."""
    repeats: int = 1
    """The running statistics move as if the same batch had come so many times."""
    synchronised: bool = False
    """Batches are normalised over all processes, which have shares of equal size."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; in training the running statistics move once per part and repeat."""
        if not self.training:
            return super().forward(x)
        parts = [ghost for path in x.chunk(self.stacked) for ghost in self._ghosts(path)]
        if len(parts) > 1:
            return torch.cat([self._normalised(part) for part in parts])
        return self._repeated(x) if self.repeats > 1 else self._normalised(x)

    def _normalised(self, x: Tensor) -> Tensor:
        return synchronised_batch_norm(x, self) if self.synchronised else super().forward(x)

    def _ghosts(self, x: Tensor) -> Sequence[Tensor]:
        if self.ghost_batch is None or x.shape[0] <= self.ghost_batch:
            return (x,)
        # A last ghost batch of one image has no variance at 1x1, so it joins its neighbour.
        return x.tensor_split(x.shape[0] // self.ghost_batch)

    def _repeated(self, x: Tensor) -> Tensor:
        """R updates r <- (1 - a) r + a s with one s are one with 1 - (1 - a)^R in the place of a."""
        assert self.momentum is not None  # cumulative averages are for scoring
        momentum = 1 - (1 - self.momentum) ** self.repeats
        if self.synchronised:
            return synchronised_batch_norm(x, self, momentum, self.repeats)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(self.repeats)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, True, momentum, self.eps)


def synchronised_batch_norm(x: Tensor, norm: nn.BatchNorm2d, momentum: float | None = None, repeats: int = 1) -> Tensor:
    """x (B, C, H, W) normalised by mean and variance over the images of all processes, which move the statistics too.

    `momentum` None is the norm's own. torch's SyncBatchNorm needs a GPU. Two reductions forward and two backward.
    """
    processes = distributed.get_world_size()
    mean = _Summed.apply(x.mean((0, 2, 3))) / processes
    centred = x - mean[:, None, None]
    variance = _Summed.apply(centred.square().mean((0, 2, 3))) / processes
    if norm.running_mean is not None and norm.running_var is not None:
        momentum = norm.momentum if momentum is None else momentum
        assert momentum is not None
        assert norm.num_batches_tracked is not None
        count = processes * x.numel() / x.shape[1]
        norm.running_mean.lerp_(mean.detach(), momentum)
        norm.running_var.lerp_(variance.detach() * count / (count - 1), momentum)
        norm.num_batches_tracked.add_(repeats)
    y = centred * (variance + norm.eps).rsqrt()[:, None, None]
    return y if norm.weight is None else y * norm.weight[:, None, None] + norm.bias[:, None, None]


class _Summed(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def synchronise(net: nn.Module) -> None:
    """Let every BatchNorm of `net` normalise training batches over all processes."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.synchronised = True


@contextmanager
def stacked(modules: Iterable[nn.Module], paths: int) -> Iterator[None]:
    """In the block the modules take the batches of several paths, stacked along B, as one input."""
    with _norms_set(modules, "stacked", paths):
        yield


@contextmanager
def repeated(modules: Iterable[nn.Module], times: int) -> Iterator[None]:
    """In the block one pass through the modules stands for several, all on the same images."""
    with _norms_set(modules, "repeats", times):
        yield


@contextmanager
def _norms_set(modules: Iterable[nn.Module], setting: str, value: int) -> Iterator[None]:
    norms = norms_of(modules)
    for norm in norms:
        setattr(norm, setting, value)
    try:
        yield
    finally:
        for norm in norms:
            setattr(norm, setting, 1)


def set_ghost_batch(net: nn.Module, images: int | None) -> None:
    """Let every BatchNorm of `net` normalise `images` images at a time in training; None: the whole batch."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.ghost_batch = images


class Scoring:
    """A net under one protocol of statistics: in evaluation mode for the length of a `with` block, then as before.

    Under `batch` and `running` nothing is left to do. Under `adapt` and `recalibrate`, `calibrate` gives any part of
    the net its statistics; a part must be calibrated before it is run.
    """

    def __init__(self, net: nn.Module, protocol: str) -> None:
        """`protocol` is one of run_folder.PROTOCOLS; the net is left exactly as it was, also when the block raises."""
        self.net, self.protocol = net, protocol
        self.was_training = net.training
        self.states = {norm: _State(norm) for norm in norms_of([net])}

    def __enter__(self) -> Scoring:
        """Evaluation mode; under `batch` norms use the batch at hand."""
        self.net.eval()
        if self.protocol == "batch":
            for norm in self.states:
                norm.train()
                norm.track_running_stats = False  # train mode would move the buffers
        return self

    def __exit__(self, *_: object) -> None:
        """Undo it all."""
        with torch.no_grad():
            for state in self.states.values():
                state.restore()
        self.net.train(self.was_training)

    @property
    def calibrates(self) -> bool:
        """Whether the protocol reads calibration images."""
        return self.protocol in ("adapt", "recalibrate")

    @contextmanager
    def calibrate(self, norms: Sequence[Norm], begun: Kept | None = None) -> Iterator[None]:
        """Forwards within the block move the norms' statistics: from the start, or on from what `begun` holds."""
        for norm in norms:
            if self.protocol == "recalibrate":
                norm.momentum = None  # cumulative average: every calibration batch weighs the same
                norm.reset_running_stats()
            else:
                self.states[norm].restore_buffers()
            norm.train()
        if begun is not None:
            load(norms, begun)
        yield
        for norm in norms:
            norm.eval()


Norm = nn.modules.batchnorm._BatchNorm
Kept = list[dict[str, Tensor]]
"""Copies of the buffers of some norms."""


def norms_of(modules: Iterable[nn.Module]) -> list[Norm]:
    """The batch norms in the modules, in order."""
    return [part for module in modules for part in module.modules() if isinstance(part, Norm)]


def check_protocol(net: nn.Module, protocol: str) -> None:
    """Refuse a protocol of running statistics for norms that keep none.

    Raises:
        UsageError: it names the one that works.
    """
    if protocol != "batch" and any(norm.running_mean is None for norm in norms_of([net])):
        raise UsageError(
            f"bn={protocol}: batch norms of this supernet keep no running statistics "
            "(search_space.running_stats=false), so only bn=batch can score it"
        )


def keep(norms: Sequence[Norm]) -> Kept:
    """Copies of the norms' statistics."""
    return [{name: value.clone() for name, value in norm.named_buffers()} for norm in norms]


def load(norms: Sequence[Norm], kept: Kept) -> None:
    """Put copies of statistics back."""
    for norm, buffers in zip(norms, kept, strict=True):
        for name, value in buffers.items():
            norm.get_buffer(name).copy_(value)


@contextmanager
def statistics(
    net: nn.Module, protocol: str, forward: Callable[[Tensor], Tensor], images: Iterable[Tensor]
) -> Iterator[None]:
    """Give `net` the BN statistics of `protocol` for the length of the block, in evaluation mode; then undo it.

    Args:
        net: left exactly as it was, also when the block raises.
        protocol: one of run_folder.PROTOCOLS.
        forward: runs the path to be scored on images (B, C, H, W).
        images: calibration batches, read by `adapt` and `recalibrate` alone.
    """
    with Scoring(net, protocol) as scoring:
        if scoring.calibrates:
            with torch.no_grad(), scoring.calibrate(list(scoring.states)):
                for batch in images:
                    forward(batch)
        yield


class _State:
    """What scoring changes in one norm.

    Ghost batches and other processes' images are a matter of training: scoring takes each batch as it is.
    """

    def __init__(self, norm: Norm) -> None:
        self.norm, self.tracks, self.momentum = norm, norm.track_running_stats, norm.momentum
        self.ghost_batch = getattr(norm, "ghost_batch", None)
        self.buffers = {name: value.clone() for name, value in norm.named_buffers()}
        self.synchronised = getattr(norm, "synchronised", False)
        if self.ghost_batch is not None:
            norm.ghost_batch = None  # type: ignore[assignment]
        if self.synchronised:
            norm.synchronised = False  # type: ignore[assignment]

    def restore_buffers(self) -> None:
        """The statistics as they were."""
        for name, value in self.buffers.items():
            self.norm.get_buffer(name).copy_(value)

    def restore(self) -> None:
        """Put it all back."""
        self.norm.track_running_stats, self.norm.momentum = self.tracks, self.momentum
        if self.ghost_batch is not None:
            self.norm.ghost_batch = self.ghost_batch
        if self.synchronised:
            self.norm.synchronised = True  # type: ignore[assignment]
        self.restore_buffers()
