"""Score paths with the supernet's weights, one alone or many that share their beginnings.

B images of a batch, L layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.datasets.dataset import Batch, Dataset
from src.supernet.batch_norm import Scoring, statistics
from src.supernet.path import ArchPath
from src.supernet.prefix_walk import PrefixWalk

ADAPT_FORWARDS = 20
"""Train-mode forwards of the protocol `adapt`, going round the calibration batches (inter-choice, appendix B)."""
ACTIVATION_BYTES = 4 * 2**30
"""Activations kept at a time when many paths are scored; images that need more are taken in groups."""


class Score(NamedTuple):
    """Top-1 in [0, 1] and mean cross-entropy in nats."""

    accuracy: float
    loss: float


class Batches:
    """The same batches in every iteration: kept if they are small, else loaded again from the data set's own store."""

    KEPT_BYTES = 2**30

    def __init__(self, dataset: Dataset, part: str, batch_size: int, device: torch.device, images: int) -> None:
        self._load = partial(dataset.batches, part, batch_size, device, images)
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


class Evaluator:
    """Scores paths on held-out images under one protocol of batch-norm statistics; remembers what it scored.

    The net's weights, statistics and mode, and every random generator, are left as found.
    """

    def __init__(
        self,
        net: nn.Module,
        dataset: Dataset,
        device: torch.device,
        protocol: str,
        settings: ScoringSettings | None = None,
    ) -> None:
        """`protocol` is one of run_folder.PROTOCOLS; `settings` None: the defaults."""
        settings = settings or ScoringSettings()
        part, batch_size = settings.part, settings.batch_size
        self.net, self.protocol, self.activation_bytes = net, protocol, settings.activation_bytes
        self.images = dataset.count(part, settings.images)
        """How many images a path is scored on."""
        self.batches = Batches(dataset, part, batch_size, device, self.images)
        needs_calibration = protocol in ("adapt", "recalibrate")
        calibration_images = settings.calibration_images if needs_calibration else 0
        self.calibration = Batches(dataset, "train", batch_size, device, calibration_images)
        self.known: dict[ArchPath, Score] = {}
        self.block_evaluations = 0
        """Choice blocks run by `scores` so far, each on all images: one for every distinct prefix."""

    def score(self, path: ArchPath) -> Score:
        """Top-1 and loss of one path; a path scored before costs nothing."""
        if path not in self.known:
            with statistics(self.net, self.protocol, lambda x: self.net(x, path), self._calibration_images()):
                self.known[path] = self._score(path)
        return self.known[path]

    @torch.no_grad()
    def scores(self, paths: Iterable[ArchPath]) -> Iterator[tuple[ArchPath, Score]]:
        """Score each distinct path, those known first, the others in lexicographic order as they come.

        Each distinct prefix runs once. The scores are those of `score`, on a CPU bit for bit: the batches are the same.
        """
        wanted = dict.fromkeys(paths)
        yield from ((path, self.known[path]) for path in wanted if path in self.known)
        missing = sorted(path for path in wanted if path not in self.known)
        if not missing:
            return
        before = self.block_evaluations
        with Scoring(self.net, self.protocol) as scoring:
            walk = PrefixWalk(self.net.segments(), scoring, self.activation_bytes)  # type: ignore[operator]
            calibration = list(self._calibration_images()) if scoring.calibrates else []
            for path, logits in walk.run(missing, calibration, self._image_batches):
                self.known[path] = self._judge(logits)
                self.block_evaluations = before + walk.block_evaluations
                yield path, self.known[path]

    def forget(self) -> None:
        """Call after the weights have changed."""
        self.known.clear()

    def _calibration_images(self) -> Iterator[Tensor]:
        images = (batch.images for batch in self.calibration)
        if self.protocol == "adapt":
            return itertools.islice(itertools.cycle(images), ADAPT_FORWARDS)
        return images

    def _image_batches(self) -> Iterator[Tensor]:
        return (batch.images for batch in self.batches)

    @torch.no_grad()
    def _score(self, path: ArchPath) -> Score:
        return self._judge(self.net(batch.images, path) for batch in self.batches)

    def _judge(self, logits: Iterable[Tensor]) -> Score:
        """The score of logits (B, classes), a batch each."""
        hits, loss = 0, 0.0
        for batch, output in zip(self.batches, logits, strict=True):
            hits += int((output.argmax(1) == batch.labels).sum())
            loss += F.cross_entropy(output, batch.labels, reduction="sum").item()
        return Score(hits / self.images, loss / self.images)


def split_paths(paths: Sequence[ArchPath], rank: int, ranks: int) -> list[ArchPath]:
    """The share of one of several processes: neighbours in lexicographic order, which have most to share."""
    ordered = sorted(set(paths))
    bounds = [round(i * len(ordered) / ranks) for i in (rank, rank + 1)]
    return ordered[bounds[0] : bounds[1]]
