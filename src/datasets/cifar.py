"""CIFAR-10 and CIFAR-100 in torchvision's layout: 50,000 training and 10,000 test images of 32 px.

N images, S px a side.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from src.datasets.augment import ShiftFlip
from src.datasets.memory import ImagePart, MemoryDataset
from src.datasets.options import check_image_options, check_switch
from src.datasets.preprocessing import AREA, Preprocessing, as_pixels, central
from src.datasets.split import train_and_val
from src.runtime.errors import UsageError, unknown


class Cifar(MemoryDataset):
    """`name` cifar10 or cifar100 (fine labels); val is held out of the training images, test is the official one."""

    def __init__(
        self,
        name: str,
        root: str = ".data",
        download: bool = False,
        image_size: int | None = None,
        val: float = 5000,
        train_images: float | None = None,
        split_seed: int = 0,
        shift: int = 4,
        flip: bool = True,
    ) -> None:
        """Read it, or fetch it first; the arguments are the keys of conf/dataset/cifar10.yaml, which explains them.

        Raises:
            UsageError: no such files, damaged ones, or an option out of its range.
        """
        check_image_options(image_size, split_seed, shift, flip)
        check_switch("dataset.download", download)
        train, test = (read_cifar(name, root, download, train=is_train) for is_train in (True, False))
        # Positions of the parts: val is held out of the training files, test is its own file
        labels = np.asarray(train.targets, np.int64)
        positions = train_and_val(labels, val, train_images, split_seed, train.classes)
        indices = positions | {"test": np.arange(len(test.targets))}
        sources = dict.fromkeys(positions, train) | {"test": test}
        # Images in memory, in the order of the positions
        parts = {}
        for part, where in indices.items():
            images = resized(sources[part].data[where], image_size or 32)
            numbers = torch.from_numpy(where)
            parts[part] = ImagePart(images, torch.tensor(sources[part].targets)[numbers], numbers)
        description = Preprocessing(3, image_size or 32)
        super().__init__(name, parts, train.classes, ShiftFlip(shift, flip), preprocessing=description)


def read_cifar(name: str, root: str, download: bool, train: bool) -> Any:
    """torchvision's data set, with `data` (N, 32, 32, 3) uint8 and `targets`.

    Raises:
        UsageError: an unknown name, no such folder, or incomplete files.
    """
    from torchvision.datasets import CIFAR10, CIFAR100  # late: 1 s

    known = {"cifar10": CIFAR10, "cifar100": CIFAR100}
    if name not in known:
        raise unknown("dataset.name", name, known)
    folder = Path(root, known[name].base_folder)
    if not (download or folder.is_dir()):
        raise UsageError(
            f"there is no folder {folder}: dataset.download=true fetches it, dataset.root=<folder> moves it"
        )
    # torchvision checks the hashes of the files, and raises when one is missing or differs
    try:
        with warnings.catch_warnings():  # NumPy 2.4.0 to 2.4.4 warn of dtypes in pickles as old as these
            warnings.filterwarnings("ignore", message=".*align should be passed", category=Warning)
            return known[name](root, train=train, download=download)
    except (OSError, RuntimeError) as error:
        advice = "is the network reachable?" if download else "delete it and set dataset.download=true"
        raise UsageError(f"{folder} is incomplete or damaged: {advice} ({' '.join(str(error).split())})") from error


def resized(images: np.ndarray[Any, Any], size: int) -> Tensor:
    """Images (N, 32, 32, 3) uint8 to (N, 3, S, S)."""
    if size == images.shape[1]:
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    return torch.from_numpy(
        np.stack([as_pixels(central(Image.fromarray(image), size, None, AREA)) for image in images])
    )
