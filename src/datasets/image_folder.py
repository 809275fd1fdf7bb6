"""A data set of the user's own images, one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from src.datasets.augment import ShiftFlip
from src.datasets.cache import decode_cached
from src.datasets.dataset import PARTS, Dataset, Normalisation
from src.datasets.decode import SquareReader, square_reader
from src.datasets.folder import LAYOUT, digest_of
from src.datasets.layout import PART_NAMES, DividedFiles, divide_folder
from src.datasets.memory import ImagePart, MemoryDataset
from src.datasets.options import check_image_options, check_number
from src.datasets.preprocessing import FULL
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
    levels: str | Sequence[int] = FULL,
) -> Dataset:
    """Images from `train/<class>/*` beside `val/` and `test/`, or from `<class>/*`, which is divided into three parts.

    The arguments are the keys of conf/dataset/image_folder.yaml, which explains them. In memory or by workers, the
    batches are the same as long as mean and deviation are: those of the training part in memory, ImageNet's where the
    images do not fit. `levels` is the full range where a stored configuration does not name it, as it was before the
    key; conf/ says auto.

    Raises:
        UsageError: no such folder, another layout, too few images, or an option out of its range.
    """
    if root is None:
        raise UsageError(f"dataset.root=<folder> is missing: it must hold {LAYOUT}")
    check_image_options(image_size, split_seed, shift, flip)
    check_number("dataset.memory_limit_mb", memory_limit_mb, whole=False)
    folder = Path(root)
    files = divide_folder(folder, val, test, train_images, split_seed)
    reader = square_reader(files.files["train"], image_size, channels, levels)
    called, augment = name or name_of(folder), ShiftFlip(shift, flip)
    normalisation, digest = Normalisation(mean, std), digest_of([files.files[part] for part in PARTS])
    # all parts together decide, so that every part of a data set is read in one way
    if sum(map(len, files.files.values())) * reader.channels * reader.size**2 > memory_limit_mb * 1e6:
        from src.datasets.worker import WorkerDataset  # late: it loads Lightning

        streamed = WorkerDataset(called, files, reader, reader, augment, normalisation, workers, memory_limit_mb)
        streamed.passed_over, streamed.files_digest = files.passed_over, digest
        return streamed
    dataset = MemoryDataset(
        called, in_memory(files, reader, cache), files.classes, augment, normalisation, reader.preprocessing
    )
    dataset.passed_over, dataset.files_digest = files.passed_over, digest
    return dataset


def name_of(folder: Path) -> str:
    """The folder's name; of a folder called train its parent's, which says more."""
    resolved = folder.resolve()
    return (resolved.parent if resolved.name.lower() in PART_NAMES["train"] else resolved).name


def in_memory(files: DividedFiles, reader: SquareReader, cache: str | None) -> dict[str, ImagePart]:
    """The decoded images of each part, from the cache folder where they are known."""
    parts = {}
    for part in PARTS:
        pixels = torch.from_numpy(decode_cached(files.files[part], reader, cache))
        parts[part] = ImagePart(pixels, files.labels[part], torch.from_numpy(files.indices[part]))
    return parts
