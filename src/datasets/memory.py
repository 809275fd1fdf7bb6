"""Data sets of small images, kept as uint8 on the training device and augmented there, a batch at a time.

N images, B images of a mini-batch, C channels, H W size.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from src.datasets.augment import Augment, ShiftFlip
from src.datasets.dataset import OWN, Batch, Dataset, Normalisation, channel_statistics, on_device
from src.datasets.preprocessing import Preprocessing
from src.datasets.stream import BatchRequest, Stream
from src.runtime.devices import move


class ImagePart(NamedTuple):
    """One part of a data set in memory."""

    images: Tensor
    """(N, C, H, W) uint8"""
    labels: Tensor
    """(N,) int64"""
    numbers: Tensor
    """(N,) int64, the images' numbers in the data set"""


class MemoryDataset(Dataset):
    """A data set whose images fit in memory; subclasses only say where they come from."""

    def __init__(
        self,
        name: str,
        parts: dict[str, ImagePart],
        classes: list[str],
        augment: Augment | None = None,
        normalisation: Normalisation = OWN,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        """Keep all parts, and compute the statistics of the training part.

        Args:
            name: the data set's name in tables.
            parts: train, val and test.
            classes: names in the order of the labels.
            augment: of training batches; None: none.
            normalisation: mean and deviation; those of the training part where None.
            preprocessing: from a file to pixels; None where the images do not come from files.
        """
        self.name, self.classes, self.preprocessing = name, classes, preprocessing
        self.indices = {part: values.numbers.numpy() for part, values in parts.items()}
        train = parts["train"].images
        self.in_channels, self.image_size = train.shape[1], train.shape[-1]
        self.set_statistics(normalisation, channel_statistics(train))
        self.augment: Augment = augment or ShiftFlip(0, False)
        self._parts = dict(parts)

    def part(self, name: str, device: torch.device | None = None) -> ImagePart:
        """A part of the data set, on the device; None: wherever it is."""
        if device is not None and self._parts[name].images.device != device:
            # moved once and kept there as bytes: a batch is then gathered without any copy from the host
            self._parts[name] = ImagePart(*(values.to(device) for values in self._parts[name]))
        return self._parts[name]

    def labels_of(self, part: str) -> Tensor:
        """(N,) int64, on the CPU."""
        return self._parts[part].labels.cpu()

    def batches(self, part: str, batch_size: int, device: torch.device, images: int | None = None) -> Iterator[Batch]:
        """Batches of a part, normalised, not augmented."""
        count = self.count(part, images)
        for start in range(0, count, batch_size):
            yield self.load(part, torch.arange(start, min(start + batch_size, count)), device)

    def load(self, part: str, positions: Tensor, device: torch.device, request: BatchRequest | None = None) -> Batch:
        """The images at `positions` (B,) of a part, augmented if a request asks for it, then normalised."""
        images, labels, numbers = self.part(part, device)
        where = move(positions, device)
        chosen = images[where]
        if request is not None:
            chosen = self.augment(chosen, request.seed, request.first, len(request.whole))
        whole, weights = (positions, None) if request is None else (request.whole, request.weights)
        return Batch(self.normalise(chosen), labels[where], numbers[where], whole, on_device(weights, device))

    def augmented(self, requests: Stream, device: torch.device) -> Iterator[Batch]:
        """Training batches, made in this process: a batch costs less than handing it over would."""
        # the next epoch is drawn after the last batch of this one was used
        for request in chain.from_iterable(requests):
            yield self.load("train", request.positions, device, request)
