"""The plain loop that speed is measured against: strict fairness as its public implementations are written.

m passes forward and backward one after another in eager mode, contiguous weights, the default allocator, and images
that worker processes read as PIL pictures one by one. Nothing of the supernet step's code is used.

B images of a mini-batch, C channels, S px a side, m choices of a layer.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

WORKERS = 2
START = "fork" if sys.platform == "linux" else None
"""Linux's own way before Python 3.14; in a process that was spawned, workers would be too, and import torch each."""
LARGE = 64
"""Images of at least so many px are cropped and resized, as on ImageNet; smaller ones are shifted, as on CIFAR."""


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pixels kept as an array, turned into a picture, augmented and normalised for each use."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        """`pixels` (N, C, S, S) uint8 with C = 1 or 3, `labels` (N,)."""
        self.pixels = pixels.permute(0, 2, 3, 1).squeeze(-1).numpy()
        self.labels = labels.tolist()
        side, channels = pixels.shape[-1], pixels.shape[1]
        crop = transforms.RandomResizedCrop(side) if side >= LARGE else transforms.RandomCrop(side, padding=4)
        normalise = transforms.Normalize((0.5,) * channels, (0.25,) * channels)
        self.transform = transforms.Compose([crop, transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalise])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """One image (C, S, S) and its label."""
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


class PlainLoop:
    """One supernet step after another; the learning rate is 0, so that no weight can run away."""

    def __init__(
        self,
        net: nn.Module,
        sizes: Sequence[int],
        data: Pictures,
        batch_size: int,
        seed: int,
        device: torch.device,
        paths: int | None = None,
    ) -> None:
        """`paths` of a step; None: the m of strict fairness."""
        self.net, self.sizes, self.device = net.train(), sizes, device
        self.paths = paths or max(sizes)
        self.optimizer = torch.optim.SGD(net.parameters(), 0.0, momentum=0.9)
        self.random = random.Random(seed)
        # torch's own loader with workers, as a plain script has it
        loader = DataLoader(
            data,
            batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=WORKERS,
            persistent_workers=True,
            pin_memory=device.type == "cuda",
            multiprocessing_context=START,
        )
        self.batches = _endless(loader)

    def step(self) -> None:
        """One mini-batch: permutations drawn afresh, a pass for each path, one optimizer step."""
        images, labels = (tensor.to(self.device) for tensor in next(self.batches))
        dealt = [self._dealt(size) for size in self.sizes]
        self.optimizer.zero_grad()
        for path in zip(*dealt, strict=True):
            F.cross_entropy(self.net(images, path), labels).backward()
        self.optimizer.step()

    def _dealt(self, size: int) -> list[int]:
        """A permutation of the choices; of fewer than there are paths, some once more."""
        choices = [choice % size for choice in range(self.paths)]
        self.random.shuffle(choices)
        return choices


def _endless(loader: DataLoader[Any]) -> Iterator[list[Tensor]]:
    """Refers to no loop: in a cycle the workers would be collected after the queues that tell them to end, in 10 s."""
    return itertools.chain.from_iterable(loader for _ in itertools.count())
