"""Meters of a training run: running means for the next metrics row, wall-clock time, throughput.

L layers, m choices of a layer, M the largest m.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor


class Stopwatch:
    """Seconds of training, over all the starts of a run."""

    def __init__(self, before: float = 0.0) -> None:
        self._before = before
        self._since: float | None = None

    def start(self) -> None:
        """Count from now on."""
        self._since = time.monotonic()

    def stop(self) -> None:
        """Keep what was counted."""
        self._before, self._since = self.seconds(), None

    def seconds(self) -> float:
        """Counted so far."""
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)


class Meters:
    """Loss and top-1 of the sampled paths since the last metrics row, and all backward passes so far."""

    def __init__(self) -> None:
        self.loss = torch.zeros(())
        self.hits = torch.zeros((), dtype=torch.int64)
        self.passes = 0
        self.images = 0
        self.backward_passes = 0

    def add(self, loss: Tensor, hits: Tensor, images: int) -> None:
        """Count one backward pass: its mean loss, and how many of its images were right. No host synchronisation."""
        self.loss = self.loss.to(loss.device) + loss.detach().float()
        self.hits = self.hits.to(hits.device) + hits
        self.passes += 1
        self.images += images
        self.backward_passes += 1

    def take(self) -> dict[str, float]:
        """The means since the last call, which start again from nothing."""
        means = {
            "train/loss": self.loss.item() / max(self.passes, 1),
            "train/accuracy": self.hits.item() / max(self.images, 1),
            "train/backward_passes": self.backward_passes,
        }
        self.loss, self.hits = torch.zeros_like(self.loss), torch.zeros_like(self.hits)
        self.passes = self.images = 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """Everything, so that a resumed run writes the same rows."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        vars(self).update(state)


class Throughput:
    """Training rate since the last row, without the time that validation took."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self.since = time.monotonic()
        self.images = 0

    def rate(self) -> float:
        """Images a second since the last call."""
        now = time.monotonic()
        images, seconds = self.images, max(now - self.since, 1e-9)
        self.images, self.since = 0, now
        return round(images / seconds, 1)

    def pause(self, seconds: float) -> None:
        """Leave so many seconds out."""
        self.since += seconds
