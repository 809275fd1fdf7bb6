"""What every data set offers: three parts, mini-batches, and what networks must know of them.

N images, B images of a mini-batch, C channels, H W size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from src.datasets.input_spec import InputSpec
from src.datasets.split import Indices
from src.datasets.stream import ALL, DataShard
from src.runtime.devices import move
from src.runtime.errors import UsageError

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation per channel, of images in [0, 1]."""

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Batch:
    """Normalised images (B, C, H, W) float, labels (B,) int64, index (B,) int64 into the data set's own files."""

    images: Tensor
    labels: Tensor
    index: Tensor


class TrainLoader(Protocol):
    """The augmented mini-batches of a whole run; its state says how many were handed out."""

    def __len__(self) -> int:
        """Steps that are left."""

    def __iter__(self) -> Iterator[Batch]:
        """The steps that are left."""

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


class Dataset(ABC):
    """Images in three parts: train, val (held out of train), test (for final models only)."""

    name: str
    classes: list[str]
    in_channels: int
    image_size: int
    mean: tuple[float, ...]
    """Per channel, of images scaled to [0, 1]."""
    std: tuple[float, ...]
    indices: dict[str, Indices]
    """Which images each part holds; val and train share one numbering."""

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @property
    def input_spec(self) -> InputSpec:
        """The input that networks on this data set are built for."""
        return InputSpec(self.in_channels, self.num_classes, self.image_size)

    def size(self, part: str) -> int:
        """Images in a part."""
        return len(self.indices[part])

    def count(self, part: str, images: int | None) -> int:
        """How many images of a part `batches` hands out when asked for `images` of them."""
        return self.size(part) if images is None else min(images, self.size(part))

    def set_statistics(self, mean: Sequence[float] | None, std: Sequence[float] | None, own: Statistics) -> None:
        """Take `mean` and `std` (C,) where given, the data set's own where not."""
        for option, given in (("mean", mean), ("std", std)):
            if given is not None and (len(given) != self.in_channels or (option == "std" and min(given) <= 0)):
                raise UsageError(
                    f"dataset.{option}={list(given)} does not fit: {self.name} needs {self.in_channels} "
                    f"{'positive ' * (option == 'std')}numbers, one per channel, or null"
                )
        self.mean = own[0] if mean is None else tuple(float(value) for value in mean)
        self.std = own[1] if std is None else tuple(float(value) for value in std)

    def normalise(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) uint8 to float of zero mean and unit variance over the training part."""
        mean, std = (move(torch.tensor(v).view(1, -1, 1, 1), images.device) for v in (self.mean, self.std))
        return images.float().div_(255).sub_(mean).div_(std)

    @abstractmethod
    def train_loader(
        self, batch_size: int, steps: int, seed: int, device: torch.device, share: DataShard = ALL
    ) -> TrainLoader:
        """The augmented batches of a run of `steps` steps, or a share of each; all depends on `seed` alone."""

    @abstractmethod
    def batches(self, part: str, batch_size: int, device: torch.device, images: int | None = None) -> Iterable[Batch]:
        """The first `images` images of a part (all if None) without augmentation, always in the same order."""

    def save_split(self, path: Path) -> None:
        """Store which image belongs to which part, as an .npz of three index arrays."""
        temporary = path.with_suffix(".tmp.npz")
        np.savez_compressed(temporary, **self.indices)  # type: ignore[arg-type]
        temporary.replace(path)

    def check_split(self, path: Path) -> None:
        """Refuse to go on with a run whose stored split is another one.

        Raises:
            UsageError: images were added, removed or divided otherwise since the run was started.
        """
        if not path.exists():
            return
        with np.load(path) as stored:
            same = all(part in stored and np.array_equal(stored[part], self.indices[part]) for part in PARTS)
        if not same:
            raise UsageError(
                f"{path} holds another split than {self.name} gives now: its images have changed since the run was "
                "started, so start a new run"
            )


def channel_statistics(images: Tensor) -> Statistics:
    """Mean and standard deviation per channel of uint8 images (N, C, H, W), scaled to [0, 1]."""
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for chunk in images.split(4096):
        counts += torch.stack([torch.bincount(c.flatten(), minlength=256) for c in chunk.transpose(0, 1)])
    values = torch.arange(256, dtype=torch.float64) / 255
    weights = counts / counts.sum(1, keepdim=True)
    mean = weights @ values
    std = (weights @ values.square() - mean.square()).clamp(min=0).sqrt().clamp(min=1e-3)  # a blank channel stays 0
    return tuple(mean.tolist()), tuple(std.tolist())
