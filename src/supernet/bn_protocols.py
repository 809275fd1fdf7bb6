"""The BN protocols of scoring: which batch norm statistics a path is evaluated with.

The protocol changes rankings, so every score table names it: `running` the supernet's own statistics (FairNAS),
`batch` those of the scored batch (Bender et al. 2018, PA&DA), `adapt` a few train-mode forwards without reset (20 in
the inter-choice paper), `recalibrate` reset, then exact cumulative averages over fixed calibration batches (SPOS).
Layers see calibration images that were normalised by the statistics of their batch, so scores under `adapt` and
`recalibrate` move with the batch size: it is one of their conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from src.runtime.errors import UsageError
from src.runtime.run_folder import CALIBRATED
from src.supernet.batch_norm import BatchNorm, Norm, norms_of

NormStatistics = list[dict[str, Tensor]]
"""Copies of the buffers of some batch norms, in order: running_mean and running_var (C,), num_batches_tracked ()."""


def copy_statistics(norms: Sequence[Norm]) -> NormStatistics:
    """Copies of the norms' running statistics."""
    return [{name: value.clone() for name, value in norm.named_buffers()} for norm in norms]


def load_statistics(norms: Sequence[Norm], statistics: NormStatistics) -> None:
    """Restore what `copy_statistics` of the same norms returned."""
    for norm, buffers in zip(norms, statistics, strict=True):
        for name, value in buffers.items():
            norm.get_buffer(name).copy_(value)


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


class BNProtocol:
    """Puts a net into evaluation mode under one BN protocol for the length of a `with` block, then restores it.

    Under `running` and `batch` entering is all. Under `adapt` and `recalibrate`, every part of the net must be
    calibrated, by `calibrate`, before it is run.
    """

    def __init__(self, net: nn.Module, protocol: str) -> None:
        """`protocol` is one of run_folder.PROTOCOLS; the net is left exactly as it was, also when the block raises."""
        self.net, self.protocol = net, protocol
        self.was_training = net.training
        self.saved = {norm: SavedNorm(norm) for norm in norms_of([net])}

    def __enter__(self) -> BNProtocol:
        """Switch to evaluation mode; under `batch` norms use the batch at hand."""
        self.net.eval()
        # Train mode normalises by the batch at hand; only the norms switch to it, dropout does not.
        if self.protocol == "batch":
            for norm in self.saved:
                norm.train()
                norm.track_running_stats = False  # train mode would otherwise update the running statistics
        return self

    def __exit__(self, *_: object) -> None:
        """Restore modes, settings and statistics."""
        with torch.no_grad():
            for saved in self.saved.values():
                saved.restore()
        # Last, since it also returns the norms to the mode of the net.
        self.net.train(self.was_training)

    @property
    def calibrates(self) -> bool:
        """Whether the protocol reads calibration images."""
        return self.protocol in CALIBRATED

    @contextmanager
    def calibrate(self, norms: Sequence[Norm], begun: NormStatistics | None = None) -> Iterator[None]:
        """Forwards within the block update the norms' statistics, from their start or continuing from `begun`."""
        for norm in norms:
            if self.protocol == "recalibrate":
                norm.momentum = None  # cumulative average: every calibration batch weighs the same
                norm.reset_running_stats()
            else:
                # Back to the supernet's own: the statistics of the path scored before must not leak into this one.
                self.saved[norm].restore_buffers()
            norm.train()
        if begun is not None:
            load_statistics(norms, begun)
        yield
        for norm in norms:
            norm.eval()


@contextmanager
def under_protocol(
    net: nn.Module, protocol: str, forward: Callable[[Tensor], Tensor], images: Iterable[Tensor]
) -> Iterator[None]:
    """Evaluate one path in the block: the whole net gets the statistics of `protocol` at once, and is then restored.

    Args:
        net: left exactly as it was, also when the block raises.
        protocol: one of run_folder.PROTOCOLS.
        forward: runs the path on images (B, C, H, W).
        images: calibration batches (B, C, H, W), read by `adapt` and `recalibrate` alone.
    """
    with BNProtocol(net, protocol) as bn:
        # All norms at once, also those off the path: they see no images, but they are not run either.
        if bn.calibrates:
            with torch.no_grad(), bn.calibrate(list(bn.saved)):
                for batch in images:
                    forward(batch)
        yield


class SavedNorm:
    """The settings and buffers of one norm that scoring changes; ghost batches and synchronisation are switched off.

    Both belong to training: scoring normalises each batch as it is.
    """

    def __init__(self, norm: Norm) -> None:
        self.norm, self.tracks, self.momentum = norm, norm.track_running_stats, norm.momentum
        (self.buffers,) = copy_statistics([norm])
        self.ghost_batch, self.synchronised = None, False
        # Set only where they differ from the class's defaults: the exporter tells modules apart by their attributes.
        if isinstance(norm, BatchNorm) and norm.ghost_batch is not None:
            self.ghost_batch, norm.ghost_batch = norm.ghost_batch, None
        if isinstance(norm, BatchNorm) and norm.synchronised:
            self.synchronised, norm.synchronised = True, False

    def restore_buffers(self) -> None:
        """Restore the statistics alone."""
        load_statistics([self.norm], [self.buffers])

    def restore(self) -> None:
        """Restore settings and statistics."""
        self.norm.track_running_stats, self.norm.momentum = self.tracks, self.momentum
        if isinstance(self.norm, BatchNorm):
            if self.ghost_batch is not None:
                self.norm.ghost_batch = self.ghost_batch
            if self.synchronised:
                self.norm.synchronised = True
        self.restore_buffers()
