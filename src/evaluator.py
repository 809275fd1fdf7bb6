"""Score paths with the supernet's weights.

B images of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.datasets.dataset import Batch, Dataset
from src.supernet.batch_norm import statistics
from src.supernet.path import Path


class Score(NamedTuple):
    """Top-1 in [0, 1] and mean cross-entropy in nats."""

    accuracy: float
    loss: float


class Evaluator:
    """Scores paths on held-out images under one protocol of batch-norm statistics; remembers what it scored.

    The images are loaded once. The net's weights, statistics and mode, and every random generator, are left as found.
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
        self.batches: list[Batch] = list(dataset.batches(part, batch_size, device, images))
        self.calibration: list[Tensor] = []
        if protocol in ("adapt", "recalibrate"):
            batches = dataset.batches("train", batch_size, device, calibration_images)
            self.calibration = [batch.images for batch in batches]
        self.known: dict[Path, Score] = {}

    @property
    def images(self) -> int:
        """How many images a path is scored on."""
        return sum(len(batch.labels) for batch in self.batches)

    def score(self, path: Path) -> Score:
        """Top-1 and loss of one path; a path scored before costs nothing."""
        if path not in self.known:
            with statistics(self.net, self.protocol, lambda x: self.net(x, path), self.calibration):
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
