"""Data sets too large for memory: training images are decoded by worker processes, held-out parts by threads.

B images of a mini-batch, C channels, S px a side.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from src.datasets.augment import Augment
from src.datasets.dataset import OWN, Batch, Dataset, Normalisation, Statistics, on_device
from src.datasets.decode import Reader, decode, decode_ahead
from src.datasets.folder import Files
from src.datasets.layout import DividedFiles
from src.datasets.options import check_number
from src.datasets.split import Indices
from src.datasets.stream import BatchRequest, Stream
from src.runtime.devices import move
from src.runtime.errors import UsageError
from src.runtime.processes import cores
from src.runtime.seeds import mix

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Statistics of ImageNet's training images, as published with torchvision."""

IMAGENET_GREY: Statistics = ((0.459,), (0.226,))
"""The mean under ITU-R 601 luma weights; the deviation is the channels' average."""

Reading = tuple[Indices, int, int]
"""The part of a BatchRequest that a worker needs: positions (B,) as an array, since a tensor would go by shared memory,
seed and first."""


class WorkerDataset(Dataset):
    """A data set too large for memory; what is held out of training stays decoded as far as `memory_limit_mb` goes."""

    def __init__(
        self,
        name: str,
        files: DividedFiles,
        train_reader: Reader,
        reader: Reader,
        augment: Augment,
        normalisation: Normalisation = OWN,
        workers: int | None = None,
        memory_limit_mb: float = 2048,
    ) -> None:
        """Keep the files and their readers; nothing is read yet.

        Args:
            name: the data set's name in tables.
            files: the files of each part.
            train_reader: file to augmented pixels; draws from the global generators of Python, NumPy and torch.
            reader: file to pixels, without augmentation.
            augment: of training batches, on their device.
            normalisation: mean and deviation; ImageNet's where None.
            workers: processes that read for training; 0: none, None: one a core, at most 16.
            memory_limit_mb: 10^6 bytes of decoded pixels to keep between calls of `batches`.
        """
        check_number("dataset.workers", workers)
        check_number("dataset.memory_limit_mb", memory_limit_mb, whole=False)
        self.name, self.classes, self.indices = name, files.classes, files.indices
        self.in_channels, self.image_size, self.preprocessing = reader.channels, reader.size, reader.preprocessing
        # ImageNet's: those of these images would cost a pass over files that need not fit in memory
        self.set_statistics(normalisation, IMAGENET if reader.channels == 3 else IMAGENET_GREY)
        self.files, self.labels = files.files, files.labels
        self.passed_over, self.record = files.passed_over, files.record
        self.train_reader, self.reader, self.augment = train_reader, reader, augment
        self.workers = min(cores(), 16) if workers is None else workers
        self.memory_limit = memory_limit_mb * 1e6
        self._kept: dict[str, Tensor] = {}  # part -> its first images, decoded

    def labels_of(self, part: str) -> Tensor:
        """(N,) int64, on the CPU."""
        return self.labels[part]

    def augmented(self, requests: Stream, device: torch.device) -> Iterator[Batch]:
        """Training batches, the same for any number of workers, which live as long as one iteration."""
        replies = read_ahead(self.files["train"], self.train_reader, requests, self.workers, pin=device.type == "cuda")
        for pixels, request in replies:
            images = self.augment(move(pixels, device), request.seed, request.first, len(request.whole))
            batch = self.as_batch(images, "train", request.positions, device)
            yield replace(batch, positions=request.whole, weights=on_device(request.weights, device))

    def batches(self, part: str, batch_size: int, device: torch.device, images: int | None = None) -> Iterator[Batch]:
        """Batches of a part, normalised, not augmented; from memory where there is room for the images asked for."""
        count = self.count(part, images)
        others = sum(kept.numel() for name, kept in self._kept.items() if name != part)
        # decoded once and kept, or decoded ahead of the network each time
        if others + count * self.in_channels * self.image_size**2 <= self.memory_limit:
            chunks = iter(self.decoded(part, count).split(batch_size))
        else:
            chunks = map(torch.from_numpy, decode_ahead(self.files[part].take(slice(count)), self.reader, batch_size))
        start = 0
        for pixels in chunks:
            yield self.as_batch(pixels, part, torch.arange(start, start + len(pixels)), device)
            start += len(pixels)

    def as_batch(self, pixels: Tensor, part: str, positions: Tensor, device: torch.device) -> Batch:
        """Pixels (B, C, S, S) uint8 of the images at `positions` (B,) of a part, with their labels on the device."""
        labels, index = self.labels[part][positions], torch.from_numpy(self.indices[part])[positions]
        return Batch(self.normalise(move(pixels, device)), move(labels, device), move(index, device), positions)

    def decoded(self, part: str, count: int) -> Tensor:
        """The first `count` images of a part, (count, C, S, S) uint8; each is decoded once and kept."""
        kept = self._kept.get(part, torch.empty(0, self.in_channels, self.image_size, self.image_size).byte())
        if len(kept) < count:
            # only those beyond what an earlier call asked for
            more = decode(self.files[part].take(slice(len(kept), count)), self.reader)
            self._kept[part] = kept = torch.cat([kept, torch.from_numpy(more)])
        return kept[:count]


def read_ahead(
    files: Files, reader: Reader, epochs: Iterable[list[BatchRequest]], workers: int, pin: bool
) -> Iterator[tuple[Tensor, BatchRequest]]:
    """Pixels (B, C, S, S) uint8 for each request, in order; processes read up to two batches each ahead of their use.

    They do not read over the end of an epoch: the next one is asked for once all of this one was used.

    Raises:
        UsageError: a file cannot be read; it is named.
    """
    epoch = Epoch()
    loader: DataLoader[Reply] = DataLoader(
        Replies(files, reader),
        batch_size=None,
        sampler=epoch,  # any iterable serves
        num_workers=workers,
        persistent_workers=workers > 0,  # from one epoch to the next
        collate_fn=unchanged,
        pin_memory=pin,
        worker_init_fn=ignore_interrupt,
        generator=torch.Generator(),  # its own: the global one must not depend on when reading began
    )
    for requests in epochs:
        epoch.requests = requests
        for reply, request in zip(loader, requests, strict=True):
            if isinstance(reply, UsageError):
                raise UsageError(f"{reply}; a resume with dataset.skip_corrupt=true goes on without it")
            yield reply, request


class Epoch:
    """The requests of the epoch at hand, as a DataLoader asks for them."""

    def __init__(self) -> None:
        self.requests: list[BatchRequest] = []

    def __iter__(self) -> Iterator[Reading]:
        return ((request.positions.numpy(), request.seed, request.first) for request in self.requests)


Reply = Tensor | UsageError


class Replies(TorchDataset[Reply]):
    """Reads one request inside a worker; an unreadable file is a reply too, since raising there adds a traceback."""

    def __init__(self, files: Files, reader: Reader) -> None:
        self.files, self.reader = files, reader

    def __getitem__(self, request: Reading) -> Reply:
        """Pixels (B, C, S, S) uint8 of a batch, each image augmented by a seed of its own."""
        positions, seed, first = request
        try:
            with isolate_rng(include_cuda=False):
                images = []
                for slot, position in enumerate(positions, first):
                    # a seed per image and place, not per worker: transforms of timm and torchvision draw from all three
                    seed_generators(mix(seed, slot))
                    images.append(self.reader(self.files.path(position)))
        except UsageError as error:
            return error
        return torch.from_numpy(np.stack(images))


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch's CPU; callers restore them (`isolate_rng`)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)


def unchanged(reply: Any) -> Any:
    """The reply itself, by a function that can be pickled into a worker."""
    return reply


def ignore_interrupt(worker: int) -> None:
    """Let a worker survive Ctrl-C."""
    # the terminal signals every process of the group, and the main one still has to finish its step
    signal.signal(signal.SIGINT, signal.SIG_IGN)
