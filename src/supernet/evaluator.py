"""Score paths with the supernet's weights, one alone or many with common prefixes.

B images of a batch, C channels, H W size, L layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from src.datasets.dataset import Batch, Dataset
from src.runtime.run_folder import CALIBRATED
from src.supernet.bn_protocols import BNProtocol, under_protocol
from src.supernet.path import ArchPath
from src.supernet.prefix_walk import PrefixWalk
from src.supernet.supernet import Supernet

ADAPT_FORWARDS = 20
"""Train-mode forwards of the protocol `adapt`, cycling through the calibration batches (inter-choice, appendix B)."""
ACTIVATION_BYTES = 4 * 2**30
"""Activations kept at a time when many paths are scored; images that need more are taken in groups."""


class Score(NamedTuple):
    """Top-1 in [0, 1] and mean cross-entropy in nats."""

    accuracy: float
    loss: float


class Batches:
    """The same batches in every iteration: kept in memory if they are small, else loaded again each time."""

    KEPT_BYTES = 2**30

    def __init__(self, dataset: Dataset, part: str, batch_size: int, device: torch.device, images: int) -> None:
        self._load = partial(dataset.batches, part, batch_size, device, images)
        # Loading again costs decoding in every iteration, keeping costs 4 bytes a value.
        floats = images * dataset.in_channels * dataset.image_size**2
        self._kept = list(self._load()) if 4 * floats <= self.KEPT_BYTES else None

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._load() if self._kept is None else self._kept)


@dataclass(frozen=True)
class ScoringSettings:
    """On which images paths are scored, and how many at a time."""

    images: int | None = None
    """Images of `part`; None: all of them."""
    calibration_images: int = 1000
    """The first of the training part, for the protocols `adapt` and `recalibrate`."""
    batch_size: int = 250
    part: str = "val"
    """val (held-out training images) or test."""
    activation_bytes: int = ACTIVATION_BYTES
    """Activations kept at a time when many paths are scored."""
    temperature: float = 1.0
    """Divides the logits before the loss (Guo et al. 2017); above 1, the loss hangs less on the few worst images."""


class Evaluator:
    """Scores paths on held-out images under one BN protocol; remembers the scores until `forget`.

    The net's weights, statistics and mode, and every random generator, are left unchanged.
    """

    def __init__(
        self,
        net: Supernet,
        dataset: Dataset,
        device: torch.device,
        protocol: str,
        settings: ScoringSettings | None = None,
    ) -> None:
        """`protocol` is one of run_folder.PROTOCOLS; `settings` None: the defaults."""
        settings = settings or ScoringSettings()
        part, batch_size = settings.part, settings.batch_size
        self.net, self.protocol, self.activation_bytes = net, protocol, settings.activation_bytes
        self.temperature = settings.temperature
        self.images = dataset.count(part, settings.images)
        """Number of images a path is scored on."""
        self.batches = Batches(dataset, part, batch_size, device, self.images)
        # the other protocols read no training images
        needs_calibration = protocol in CALIBRATED
        calibration_images = settings.calibration_images if needs_calibration else 0
        self.calibration = Batches(dataset, "train", batch_size, device, calibration_images)
        self.known: dict[ArchPath, Score] = {}
        self.block_evaluations = 0
        """Choice blocks run by `scores` so far, each on all images: one for every distinct prefix."""

    def score(self, path: ArchPath) -> Score:
        """Top-1 and loss of one path; a path scored before costs nothing."""
        # The whole path at once, without the walk of `scores`: simpler, and what that walk is tested against.
        if path not in self.known:
            images = self.calibration_images()
            with under_protocol(self.net, self.protocol, lambda x: self.net(x, path), images), torch.no_grad():
                self.known[path] = self.score_of(self.net(batch.images, path) for batch in self.batches)
        return self.known[path]

    @torch.no_grad()
    def scores(self, paths: Iterable[ArchPath]) -> Iterator[tuple[ArchPath, Score]]:
        """Score each distinct path: known ones first, then the others in lexicographic order.

        Each distinct prefix runs once. On a CPU the scores equal those of `score` bit for bit: same batches.
        """
        wanted = dict.fromkeys(paths)
        yield from ((path, self.known[path]) for path in wanted if path in self.known)
        # In lexicographic order, neighbours share the longest prefixes.
        missing = sorted(path for path in wanted if path not in self.known)
        if not missing:
            return
        before = self.block_evaluations
        with BNProtocol(self.net, self.protocol) as bn:
            walk = PrefixWalk(self.net.segments(), bn, self.activation_bytes)
            calibration = list(self.calibration_images()) if bn.calibrates else []
            for path, logits in walk.run(missing, calibration, lambda: (batch.images for batch in self.batches)):
                self.known[path] = self.score_of(logits)
                self.block_evaluations = before + walk.block_evaluations
                yield path, self.known[path]

    def forget(self) -> None:
        """Drop all scores; call after the weights have changed."""
        self.known.clear()

    def calibration_images(self) -> Iterator[Tensor]:
        """The calibration batches (B, C, H, W) in the order in which they update the statistics."""
        # `adapt` moves statistics by momentum, so it needs a number of forwards; `recalibrate` needs each image once.
        images = (batch.images for batch in self.calibration)
        if self.protocol == "adapt":
            return itertools.islice(itertools.cycle(images), ADAPT_FORWARDS)
        return images

    def score_of(self, logits: Iterable[Tensor]) -> Score:
        """Top-1 and loss of logits (B, classes), one tensor for each batch."""
        # Sums over images, not means of batches: the last batch may be smaller.
        hits, loss = 0, 0.0
        for batch, output in zip(self.batches, logits, strict=True):
            hits += int((output.argmax(1) == batch.labels).sum())
            loss += F.cross_entropy(output / self.temperature, batch.labels, reduction="sum").item()
        return Score(hits / self.images, loss / self.images)


def split_paths(paths: Sequence[ArchPath], rank: int, ranks: int) -> list[ArchPath]:
    """The paths that process `rank` of `ranks` scores: neighbours in lexicographic order share the longest prefixes."""
    # Rounded bounds, so that the parts differ by one path at most and cover all.
    ordered = sorted(set(paths))
    bounds = [round(i * len(ordered) / ranks) for i in (rank, rank + 1)]
    return ordered[bounds[0] : bounds[1]]
