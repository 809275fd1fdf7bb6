"""Small images, kept as uint8 on the training device and augmented there, a batch at a time.

N images, B images of a mini-batch, C channels, H W size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from src.datasets.dataset import Batch, Dataset, channel_statistics
from src.datasets.split import Indices
from src.datasets.stream import Shuffle, Stream


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
    ) -> None:
        """Images uint8 (N, C, H, W) and labels int64 (N,) by part; `shift` in pixels and `flip` augment training."""
        self.name, self.classes, self.indices = name, classes, indices
        self.images, self.labels = images, labels
        self.in_channels, self.image_size = images["train"].shape[1], images["train"].shape[-1]
        self.mean, self.std = channel_statistics(images["train"])
        self.shift, self.flip = shift, flip

    def train_loader(self, batch_size: int, steps: int, seed: int, device: torch.device) -> MemoryLoader:
        """Augmented batches; no worker processes, since a batch costs less than handing it over would."""
        count = self.size("train")
        stream = Stream(Shuffle(count, seed), count, batch_size, steps, seed)
        return MemoryLoader(self, stream, augmentation(self.shift, self.flip, self.image_size, device), device)

    def batches(self, part: str, batch_size: int, device: torch.device, images: int | None = None) -> Iterator[Batch]:
        """Batches of a part, normalised only."""
        count = self.size(part) if images is None else min(images, self.size(part))
        for start in range(0, count, batch_size):
            yield self.load(part, torch.arange(start, min(start + batch_size, count)), device)

    def load(self, part: str, positions: Tensor, device: torch.device, augment: nn.Module | None = None) -> Batch:
        """The images at `positions` (B,) of a part, scaled to [0, 1], augmented if asked for, then normalised."""
        index = torch.from_numpy(self.indices[part])
        images = self._resident(part, device)[positions.to(device)].float().div_(255)
        if augment is not None:
            images = augment(images)
        return Batch(self.normalise(images), self.labels[part][positions].to(device), index[positions].to(device))

    def normalise(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] to zero mean and unit variance over the training part."""
        mean, std = (torch.tensor(v, device=images.device).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return (images - mean) / std

    def _resident(self, part: str, device: torch.device) -> Tensor:
        """All images of a part on the device, moved there once."""
        if self.images[part].device != device:
            self.images[part] = self.images[part].to(device)
        return self.images[part]


class MemoryLoader:
    """The training batches of a run, resumable after any of them."""

    def __init__(self, dataset: MemoryDataset, stream: Stream, augment: nn.Module, device: torch.device) -> None:
        self.dataset, self.stream, self.augment, self.device = dataset, stream, augment, device
        self.step = 0

    def __len__(self) -> int:
        """Steps of the whole run, those before a resume included."""
        return self.stream.steps

    def __iter__(self) -> Iterator[Batch]:
        self.step = self.stream.start
        for draw in self.stream:
            # Augmentation draws from torch's global generator: seeded per batch, so that a resume repeats it.
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(draw.seed)
                batch = self.dataset.load("train", draw.positions, self.device, self.augment)
            self.step += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """How far the run came, and the state of its order."""
        return self.stream.state_dict(self.step)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the step at which the state was taken."""
        self.stream.load_state_dict(state)


def augmentation(shift: int, flip: bool, image_size: int, device: torch.device) -> nn.Module:
    """Per image: a shift of up to `shift` pixels each way over a black border, a horizontal flip with chance 1/2."""
    from kornia import augmentation as K

    stages: list[nn.Module] = []
    if shift:
        # slice copies whole pixels but loops over images, which only a GPU minds
        mode = "slice" if device.type == "cpu" else "resample"
        stages.append(K.RandomCrop((image_size, image_size), padding=shift, cropping_mode=mode))
    if flip:
        stages.append(K.RandomHorizontalFlip())
    return nn.Sequential(*stages)
