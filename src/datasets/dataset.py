"""The base class of data sets: three parts, mini-batches, normalisation, and the stored split.

N images, B images of a mini-batch, C channels, H W size.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.datasets.input_spec import InputSpec
from src.datasets.loader import StreamLoader
from src.datasets.orders import Order, Shuffle
from src.datasets.preprocessing import Preprocessing
from src.datasets.split import Indices
from src.datasets.stream import ALL, DataShard, Stream
from src.runtime.devices import move
from src.runtime.errors import UsageError
from src.runtime.run_folder import replace_file

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel, of images in [0, 1]."""


class Normalisation(NamedTuple):
    """The user's mean and standard deviation per channel, of images in [0, 1]; None: the data set's own."""

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None


OWN = Normalisation()
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Batch:
    """A mini-batch, or a process's share of it, on the training device."""

    images: Tensor
    """(B, C, H, W) float, normalised."""
    labels: Tensor
    """(B,) int64"""
    index: Tensor
    """(B,) int64 numbers in the data set's own files."""
    positions: Tensor
    """int64 positions in the part, on the CPU, of the whole mini-batch over all processes."""
    weights: Tensor | None = None
    """(B,) factors of the images' losses; None: 1 each."""


class TrainLoader(Protocol):
    """The augmented mini-batches of a whole run; its state holds how many were handed out."""

    def __len__(self) -> int:
        """Steps of the whole run, those before a resume included."""

    def __iter__(self) -> Iterator[Batch]:
        """The remaining batches."""

    def state_dict(self) -> dict[str, Any]:
        """The state to resume from."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state."""


class Dataset(ABC):
    """Images in three parts: train, val (held out of train), test (for final models only)."""

    name: str
    classes: list[str]
    in_channels: int
    image_size: int
    mean: tuple[float, ...]
    """Per channel, of images scaled to [0, 1]."""
    std: tuple[float, ...]
    preprocessing: Preprocessing | None = None
    """From an image file to pixels, before normalisation; None where images do not come from files."""
    passed_over: Mapping[str, int] = MappingProxyType({})
    """Kind of file that was not read, `.heic` or `hidden`, -> how many."""
    record: Mapping[str, NDArray[Any]] = MappingProxyType({})
    """What a stored split says of the files, see file_record; empty where images do not come from such."""
    indices: dict[str, Indices]
    """Part -> numbers of its images (N,); val and train share one numbering."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def input_spec(self) -> InputSpec:
        """The input that networks on this data set are built for."""
        return InputSpec(self.in_channels, self.num_classes, self.image_size)

    def size(self, part: str) -> int:
        """Images in a part."""
        return len(self.indices[part])

    def summary(self) -> dict[str, Any]:
        """Plain values for result.json: classes, images of each part, and files that were passed over by kind."""
        images = {part: self.size(part) for part in PARTS}
        return {"classes": self.num_classes, "images": images, "passed_over": dict(self.passed_over)}

    def count(self, part: str, images: int | None) -> int:
        """Images of a part that `batches` hands out when asked for `images` of them."""
        return self.size(part) if images is None else min(images, self.size(part))

    def set_statistics(self, chosen: Normalisation, own: Statistics) -> None:
        """Normalise by the user's mean and std (C,), by the data set's `own` where they are None.

        Raises:
            UsageError: not one number per channel, or a std that is not positive.
        """
        for option, values in chosen._asdict().items():
            if values is not None and (len(values) != self.in_channels or (option == "std" and min(values) <= 0)):
                raise UsageError(
                    f"dataset.{option}={list(values)} does not fit: {self.name} needs {self.in_channels} "
                    f"{'positive ' * (option == 'std')}numbers, one per channel, or null"
                )
        self.mean = own[0] if chosen.mean is None else tuple(float(value) for value in chosen.mean)
        self.std = own[1] if chosen.std is None else tuple(float(value) for value in chosen.std)

    def normalise(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) uint8 to float of zero mean and unit variance over the training part."""
        # in place: one float copy of the batch, not three
        mean, std = (move(torch.tensor(v).view(1, -1, 1, 1), images.device) for v in (self.mean, self.std))
        return images.float().div_(255).sub_(mean).div_(std)

    def train_loader(
        self,
        batch_size: int,
        steps: int,
        seed: int,
        device: torch.device,
        shard: DataShard = ALL,
        order: Order | None = None,
    ) -> StreamLoader[Batch]:
        """The augmented batches of a run of `steps` steps, or a shard of each; they depend on `seed` and `order` alone.

        Args:
            batch_size: images of a whole mini-batch, over all shards.
            steps: mini-batches of the whole run.
            seed: of the order and of the augmentation.
            device: of the batches.
            shard: the part of each mini-batch that this process reads.
            order: of the images of an epoch; None: a shuffle drawn from `seed`.

        Raises:
            UsageError: a mini-batch larger than the training part.
        """
        order = order or Shuffle(self.size("train"), seed)
        stream = Stream(order, order.count, batch_size, steps, seed, shard)
        return StreamLoader(stream, lambda requests: self.augmented(requests, device))

    @abstractmethod
    def labels_of(self, part: str) -> Tensor:
        """(N,) int64 classes of the images of a part, on the CPU."""

    @abstractmethod
    def augmented(self, requests: Stream, device: torch.device) -> Iterator[Batch]:
        """Read, augment and normalise the training batches that a stream asks for, in its order."""

    @abstractmethod
    def batches(self, part: str, batch_size: int, device: torch.device, images: int | None = None) -> Iterable[Batch]:
        """The first `images` images of a part (all if None) without augmentation, always in the same order."""

    def save_split(self, path: Path) -> None:
        """Store which image belongs to which part, and which file it is, as an .npz."""
        content = io.BytesIO()
        # NumPy's stub takes any keyword for its own option
        named: dict[str, Any] = {**self.indices, **self.record}
        np.savez_compressed(content, **named)
        replace_file(path, content.getbuffer())

    def check_split(self, path: Path) -> None:
        """Refuse to resume a run whose stored split differs from this one; files have been compared by file_record.

        Raises:
            UsageError: images were added, removed or divided otherwise since the run was started.
        """
        if not path.exists():
            return
        # compared as a whole: the same images in another order would be other batches
        with np.load(path) as stored:
            same = all(part in stored and np.array_equal(stored[part], self.indices[part]) for part in PARTS)
        if not same:
            raise UsageError(
                f"{path} holds another split than {self.name} gives now: its images have changed since the run was "
                "started, so start a new run"
            )


def on_device(weights: Tensor | None, device: torch.device) -> Tensor | None:
    """Weights of images (B,), where they are used; None where there are none."""
    return None if weights is None else move(weights, device)


def channel_statistics(images: Tensor) -> Statistics:
    """Mean and standard deviation per channel of uint8 images (N, C, H, W), scaled to [0, 1]."""
    # exact and small: a histogram of the 256 values per channel, not a float copy of all images
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for chunk in images.split(4096):
        counts += torch.stack([torch.bincount(c.flatten(), minlength=256) for c in chunk.transpose(0, 1)])
    values = torch.arange(256, dtype=torch.float64) / 255
    weights = counts / counts.sum(1, keepdim=True)
    mean = weights @ values
    std = (weights @ values.square() - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)  # a blank channel stays 0
    return tuple(mean.tolist()), tuple(std.tolist())


def in_words(dataset: Dataset) -> str:
    """One line: what a run reads."""
    read = dataset.summary()
    images = ", ".join(f"{count:,} {part}" for part, count in read["images"].items())
    passed = ", ".join(f"{count:,} {kind}" for kind, count in sorted(read["passed_over"].items()))
    size = f"{dataset.in_channels}x{dataset.image_size}x{dataset.image_size}"
    return f"{dataset.name}: {read['classes']} classes, images: {images} ({size})" + (
        f"; passed over: {passed}" if passed else ""
    )
