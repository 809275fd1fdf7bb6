"""Small images, kept as uint8 on the training device and augmented there, a batch at a time.

N images, B images of a mini-batch, C channels, H W size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from src.datasets.augment import Augment, ShiftFlip
from src.datasets.dataset import Batch, Dataset, channel_statistics
from src.datasets.loader import StreamLoader
from src.datasets.orders import Shuffle
from src.datasets.split import Indices
from src.datasets.stream import ALL, DataShard, Draw, Stream
from src.runtime.devices import move


class Resident(NamedTuple):
    """A part on a device: images (N, C, H, W) uint8, labels (N,), numbers (N,) in the data set."""

    images: Tensor
    labels: Tensor
    numbers: Tensor


class MemoryDataset(Dataset):
    """A data set whose images fit in memory: subclasses only say where they come from."""

    def __init__(
        self,
        name: str,
        images: dict[str, Tensor],
        labels: dict[str, Tensor],
        indices: dict[str, Indices],
        classes: list[str],
        shift: int = 0,
        flip: bool = False,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        """Keep all parts.

        Args:
            name: how tables call the data set.
            images: uint8 (N, C, H, W) by part.
            labels: int64 (N,) by part.
            indices: (N,) by part, the images' numbers in the data set.
            classes: names in the order of the labels.
            shift: largest shift of a training image, in pixels.
            flip: whether half of the training images are mirrored.
            mean: per channel, of images in [0, 1]; computed from the training part if None.
            std: likewise.
        """
        self.name, self.classes, self.indices = name, classes, indices
        self.in_channels, self.image_size = images["train"].shape[1], images["train"].shape[-1]
        self.set_statistics(mean, std, channel_statistics(images["train"]))
        self.augment: Augment = ShiftFlip(shift, flip)
        self._parts = {p: Resident(images[p], labels[p], torch.from_numpy(indices[p])) for p in indices}

    def train_loader(
        self, batch_size: int, steps: int, seed: int, device: torch.device, share: DataShard = ALL
    ) -> StreamLoader:
        """Augmented batches; no worker processes, since a batch costs less than handing it over would."""
        count = self.size("train")
        stream = Stream(Shuffle(count, seed), count, batch_size, steps, seed, share)
        return StreamLoader(stream, lambda draws: self._augmented(draws, device))

    def batches(self, part: str, batch_size: int, device: torch.device, images: int | None = None) -> Iterator[Batch]:
        """Batches of a part, normalised only."""
        count = self.count(part, images)
        for start in range(0, count, batch_size):
            yield self.load(part, torch.arange(start, min(start + batch_size, count)), device)

    def load(self, part: str, positions: Tensor, device: torch.device, draw: Draw | None = None) -> Batch:
        """The images at `positions` (B,) of a part, augmented if they are of a draw, then normalised."""
        images, labels, numbers = self._resident(part, device)
        where = move(positions, device)
        chosen = images[where]
        if draw is not None:
            chosen = self.augment(chosen, draw.seed, draw.first, draw.total)
        return Batch(self.normalise(chosen), labels[where], numbers[where])

    def _augmented(self, draws: Stream, device: torch.device) -> Iterator[Batch]:
        for draw in draws:
            yield self.load("train", draw.positions, device, draw)

    def _resident(self, part: str, device: torch.device) -> Resident:
        """A part on the device, moved there once."""
        if self._parts[part].images.device != device:
            self._parts[part] = Resident(*(values.to(device) for values in self._parts[part]))
        return self._parts[part]
