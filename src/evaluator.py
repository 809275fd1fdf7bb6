"""Score paths with the supernet's weights.

B images of a batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.datasets.dataset import Batch, Dataset
from src.supernet.batch_norm import statistics
from src.supernet.path import Path

ADAPT_FORWARDS = 20
"""Train-mode forwards of the protocol `adapt`, going round the calibration batches (inter-choice, appendix B)."""


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
        images: int | None = None,
        calibration_images: int = 1000,
        batch_size: int = 250,
        part: str = "val",
    ) -> None:
        """`images` of `part` are scored (all if None); calibration images are the first of the training part."""
        self.net, self.protocol = net, protocol
        self.images = min(images or dataset.size(part), dataset.size(part))
        """How many images a path is scored on."""
        self.batches = Batches(dataset, part, batch_size, device, self.images)
        needs_calibration = protocol in ("adapt", "recalibrate")
        self.calibration = Batches(dataset, "train", batch_size, device, calibration_images * needs_calibration)
        self.known: dict[Path, Score] = {}

    def score(self, path: Path) -> Score:
        """Top-1 and loss of one path; a path scored before costs nothing."""
        if path not in self.known:
            calibration: Iterable[Tensor] = (batch.images for batch in self.calibration)
            if self.protocol == "adapt":
                calibration = itertools.islice(itertools.cycle(calibration), ADAPT_FORWARDS)
            with statistics(self.net, self.protocol, lambda x: self.net(x, path), calibration):
                self.known[path] = self._score(path)
        return self.known[path]

    def scores(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Score]]:
        """Score paths one after another."""
        return ((path, self.score(path)) for path in paths)

    def forget(self) -> None:
        """Call after the weights have changed."""
        self.known.clear()

    @torch.no_grad()
    def _score(self, path: Path) -> Score:
        hits, loss = 0, 0.0
        for batch in self.batches:
            logits = self.net(batch.images, path)
            hits += int((logits.argmax(1) == batch.labels).sum())
            loss += F.cross_entropy(logits, batch.labels, reduction="sum").item()
        return Score(hits / self.images, loss / self.images)
