"""Batch normalisation in a supernet: ghost batches in training, four protocols of statistics in scoring.

Which statistics a path is scored with moves rankings, so every score table names its protocol:
`running` the supernet's own (FairNAS), `batch` those of the scored batch (Bender et al. 2018, PA&DA), `adapt` a few
train-mode forwards without reset (20 in the inter-choice paper), `recalibrate` reset, then exact
cumulative averages over fixed calibration batches (SPOS).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm2d that can normalise each `ghost_batch` images of a training batch on their own (Hoffer et al. 2017).

    Input and output (B, C, H, W). Without a ghost batch it is nn.BatchNorm2d exactly.
    """

    ghost_batch: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; in training with ghost batches the running statistics move once per ghost batch."""
        if not self.training or self.ghost_batch is None or x.shape[0] <= self.ghost_batch:
            return super().forward(x)
        # A last ghost batch of one image has no variance at 1x1, so it joins its neighbour.
        count = x.shape[0] // self.ghost_batch
        return torch.cat([super(BatchNorm, self).forward(part) for part in x.tensor_split(count)])


def set_ghost_batch(net: nn.Module, images: int | None) -> None:
    """Let every BatchNorm of `net` normalise `images` images at a time in training; None: the whole batch."""
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.ghost_batch = images


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
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    was_training = net.training
    saved = [_State(norm) for norm in norms]
    net.eval()
    try:
        with torch.no_grad():
            _prepare(net, norms, protocol, forward, images)
        yield
    finally:
        with torch.no_grad():
            for state in saved:
                state.restore()
        net.train(was_training)


class _State:
    """What scoring changes in one norm. Ghost batches are a matter of training: scoring takes each batch as a whole."""

    def __init__(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        self.norm, self.tracks, self.momentum = norm, norm.track_running_stats, norm.momentum
        self.ghost_batch = getattr(norm, "ghost_batch", None)
        self.buffers = {name: value.clone() for name, value in norm.named_buffers()}
        if self.ghost_batch is not None:
            norm.ghost_batch = None  # type: ignore[assignment]

    def restore(self) -> None:
        """Put it all back."""
        self.norm.track_running_stats, self.norm.momentum = self.tracks, self.momentum
        if self.ghost_batch is not None:
            self.norm.ghost_batch = self.ghost_batch
        for name, value in self.buffers.items():
            self.norm.get_buffer(name).copy_(value)


def _prepare(
    net: nn.Module,
    norms: list[nn.modules.batchnorm._BatchNorm],
    protocol: str,
    forward: Callable[[Tensor], Tensor],
    images: Iterable[Tensor],
) -> None:
    if protocol == "batch":
        for norm in norms:
            norm.train()
            norm.track_running_stats = False  # train mode would move the buffers
    elif protocol in ("adapt", "recalibrate"):
        for norm in norms:
            if protocol == "recalibrate":
                norm.reset_running_stats()
                norm.momentum = None  # cumulative average: every calibration batch weighs the same
            norm.train()
        for batch in images:
            forward(batch)
        net.eval()
