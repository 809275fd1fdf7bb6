"""Large images, decoded whenever they are needed: for training by worker processes, held-out parts by threads.

B images of a mini-batch, C channels, S px a side.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from src.datasets.augment import Augment
from src.datasets.dataset import Batch, Dataset, Statistics
from src.datasets.decode import Pixels, Reader, cores, decode, decode_ahead
from src.datasets.folder import Files, Parts
from src.datasets.loader import StreamLoader
from src.datasets.options import check_number
from src.datasets.orders import Shuffle
from src.datasets.split import Indices
from src.datasets.stream import ALL, DataShard, Stream
from src.runtime.devices import move
from src.runtime.errors import UsageError
from src.runtime.seeds import mix

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Of ImageNet's training images, as published with torchvision."""

IMAGENET_GREY: Statistics = ((0.459,), (0.226,))
"""The mean under ITU-R 601 luma weights; the deviation is the channels' average."""

Request = tuple[Indices, int, int, int]
"""A stream's draw, its positions (B,) as an array."""


class WorkerDataset(Dataset):
    """A data set too large for memory; what is held out of training stays decoded as far as `memory_limit_mb` goes."""

    def __init__(
        self,
        name: str,
        parts: Parts,
        train_reader: Reader,
        reader: Reader,
        augment: Augment,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        workers: int | None = None,
        memory_limit_mb: float = 2048,
    ) -> None:
        """Say how to read; nothing is read yet.

        Args:
            name: how tables call the data set.
            parts: the files of each part.
            train_reader: file to augmented pixels; draws from the global generators of Python, NumPy and torch.
            reader: file to pixels, without augmentation.
            augment: what the device adds to a training batch.
            mean: per channel, of images in [0, 1]; ImageNet's if None.
            std: likewise.
            workers: processes that read for training; 0: none, None: one a core, at most 16.
            memory_limit_mb: 10^6 bytes of decoded pixels to keep between calls of `batches`.
        """
        check_number("dataset.workers", workers)
        check_number("dataset.memory_limit_mb", memory_limit_mb, whole=False)
        self.name, self.classes, self.indices = name, parts.classes, parts.indices
        self.in_channels, self.image_size = reader.channels, reader.size
        self.set_statistics(mean, std, IMAGENET if reader.channels == 3 else IMAGENET_GREY)
        self.files, self.labels = parts.files, parts.labels
        self.train_reader, self.reader, self.augment = train_reader, reader, augment
        self.workers = min(cores(), 16) if workers is None else workers
        self.memory_limit = memory_limit_mb * 1e6
        self._kept: dict[str, Tensor] = {}  # part -> its first images, decoded

    def train_loader(
        self, batch_size: int, steps: int, seed: int, device: torch.device, share: DataShard = ALL
    ) -> StreamLoader:
        """Augmented batches, the same for any number of workers, which live as long as one iteration."""
        count = self.size("train")
        stream = Stream(Shuffle(count, seed), count, batch_size, steps, seed, share)
        return StreamLoader(stream, lambda draws: self._augmented(draws, device))

    def batches(self, part: str, batch_size: int, device: torch.device, images: int | None = None) -> Iterator[Batch]:
        """Batches of a part, normalised only."""
        start = 0
        for pixels in self._pixels(part, self.count(part, images), batch_size):
            yield self._batch(pixels, part, torch.arange(start, start + len(pixels)), device)
            start += len(pixels)

    def _augmented(self, draws: Stream, device: torch.device) -> Iterator[Batch]:
        requests = ((draw.positions.numpy(), draw.seed, draw.first, draw.total) for draw in draws)
        batches = read_ahead(self.files["train"], self.train_reader, requests, self.workers, device.type == "cuda")
        for pixels, (positions, *drawn) in batches:
            images = self.augment(move(pixels, device), *drawn)
            yield self._batch(images, "train", torch.from_numpy(positions), device)

    def _batch(self, pixels: Tensor, part: str, positions: Tensor, device: torch.device) -> Batch:
        labels, index = self.labels[part][positions], torch.from_numpy(self.indices[part])[positions]
        return Batch(self.normalise(move(pixels, device)), move(labels, device), move(index, device))

    def _pixels(self, part: str, count: int, batch_size: int) -> Iterator[Tensor]:
        """The first `count` images of a part in batches (B, C, S, S) uint8, from memory where there is room."""
        image_bytes = self.in_channels * self.image_size**2
        others = sum(kept.numel() for name, kept in self._kept.items() if name != part)
        if others + count * image_bytes <= self.memory_limit:
            yield from self._keep(part, count).split(batch_size)
        else:
            files = self.files[part].take(slice(count))
            yield from map(torch.from_numpy, decode_ahead(files, self.reader, batch_size))

    def _keep(self, part: str, count: int) -> Tensor:
        """The first `count` images of a part, decoded once."""
        kept = self._kept.get(part, torch.empty(0, self.in_channels, self.image_size, self.image_size).byte())
        if len(kept) < count:
            more = decode(self.files[part].take(slice(len(kept), count)), self.reader)
            self._kept[part] = kept = torch.cat([kept, torch.from_numpy(more)])
        return kept[:count]


def read_ahead(
    files: Files, reader: Reader, requests: Iterator[Request], workers: int, pin: bool
) -> Iterator[tuple[Tensor, Request]]:
    """Pixels (B, C, S, S) uint8 for each request, in order; processes read up to two batches each ahead of their use.

    Raises:
        UsageError: a file cannot be read; it is named.
    """
    loader: DataLoader[Reply] = DataLoader(
        Replies(files, reader),
        batch_size=None,
        sampler=requests,  # any iterable serves
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        worker_init_fn=_outlive_interrupt,
        generator=torch.Generator(),  # its own: the global one must not depend on when reading began
    )
    for reply in loader:
        if isinstance(reply, UsageError):
            raise reply
        yield reply


Reply = tuple[Tensor, Request] | UsageError


class Replies(TorchDataset[Reply]):
    """Answers one request: runs inside a worker. An error is answered too, since raising it there adds a traceback."""

    def __init__(self, files: Files, reader: Reader) -> None:
        self.files, self.reader = files, reader

    def __getitem__(self, request: Request) -> Reply:
        """The pixels of a batch, each image augmented by a seed of its own."""
        positions, seed, first, _ = request
        try:
            with isolate_rng(include_cuda=False):
                images = [self._read(position, mix(seed, slot)) for slot, position in enumerate(positions, first)]
        except UsageError as error:
            return error
        return torch.from_numpy(np.stack(images)), request

    def _read(self, position: int, seed: int) -> Pixels:
        """Transforms of timm and torchvision draw from all three global generators."""
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        return self.reader(self.files.path(position))


def _as_it_is(reply: Any) -> Any:
    return reply


def _outlive_interrupt(worker: int) -> None:
    """Ctrl-C reaches every process of the group: the main one finishes its step, so its workers must go on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
