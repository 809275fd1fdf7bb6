"""The user's own images: one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from src.datasets.augment import ShiftFlip
from src.datasets.cache import decode_cached
from src.datasets.dataset import PARTS, Dataset
from src.datasets.decode import SquareReader, square_reader
from src.datasets.folder import LAYOUT, Parts, divide_folder
from src.datasets.memory import MemoryDataset
from src.datasets.options import check_image_options, check_number
from src.runtime.errors import UsageError


def image_folder(
    root: str | None,
    name: str | None = None,
    image_size: int | None = None,
    channels: int = 3,
    val: float = 0.1,
    test: float = 0.2,
    train_images: float | None = None,
    split_seed: int = 0,
    shift: int = 4,
    flip: bool = True,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    cache: str | None = ".cache/datasets",
    memory_limit_mb: float = 2048,
    workers: int | None = None,
) -> Dataset:
    """Images from `train/<class>/*` and `test/<class>/*`, or from `<class>/*`, which is divided into three parts.

    Memory or workers, the batches are the same as long as mean and deviation are: they are computed from the training
    part in memory, and ImageNet's where the images do not fit.

    Args:
        root: the folder; folders in it other than train and test are passed over where these two exist.
        name: how tables call the data set; the folder's name if None.
        image_size: px a side; the central square of each image is scaled to it. None: all are squares of one size.
        channels: 3 (RGB) or 1 (grey).
        val: images held out of train, or a fraction below 1.
        test: likewise, where there is no test folder.
        train_images: train on so many of the remaining images only, stratified.
        split_seed: of all of these choices.
        shift: largest shift of a training image, in pixels.
        flip: whether half of the training images are mirrored.
        mean: per channel, of images in [0, 1].
        std: likewise.
        cache: folder for decoded images; None: decode at every start.
        memory_limit_mb: 10^6 bytes; with more decoded pixels than that, images are decoded whenever they are needed.
        workers: processes that read then; None: one a core, at most 16.
    """
    if root is None:
        raise UsageError(f"dataset.root=<folder> is missing: it must hold {LAYOUT}")
    check_image_options(image_size, split_seed, shift, flip)
    check_number("dataset.memory_limit_mb", memory_limit_mb, whole=False)
    folder = Path(root)
    parts = divide_folder(folder, val, test, train_images, split_seed)
    reader = square_reader(parts.files["train"], image_size, channels)
    called, augment = name or folder.resolve().name, ShiftFlip(shift, flip)
    if decoded_bytes(parts, reader) > memory_limit_mb * 1e6:
        from src.datasets.worker import WorkerDataset  # late: it loads Lightning

        return WorkerDataset(called, parts, reader, reader, augment, mean, std, workers, memory_limit_mb)
    images = {part: torch.from_numpy(decode_cached(parts.files[part], reader, cache)) for part in PARTS}
    return MemoryDataset(called, images, parts.labels, parts.indices, parts.classes, shift, flip, mean, std)


def decoded_bytes(parts: Parts, reader: SquareReader) -> int:
    """What all parts take in memory as uint8."""
    return sum(map(len, parts.files.values())) * reader.channels * reader.size**2
