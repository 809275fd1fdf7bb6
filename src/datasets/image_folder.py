"""A data set of the user's own images, one folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from src.datasets.augment import Augment, ShiftFlip
from src.datasets.cache import decode_cached
from src.datasets.dataset import PARTS, Dataset, Normalisation
from src.datasets.decode import MAX_PIXELS, SquareReader, UnreadableError, square_reader
from src.datasets.examine import refuse_unreadable
from src.datasets.folder import LAYOUT
from src.datasets.intake import Intake
from src.datasets.layout import PART_NAMES, DividedFiles, divide_parts, list_parts
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
    max_pixels: int = MAX_PIXELS,
    skip_corrupt: bool = False,
    split: Path | None = None,
) -> Dataset:
    """Images from `train/<class>/*` beside `val/` and `test/`, or from `<class>/*`, which is divided into three parts.

    The arguments are the keys of conf/dataset/image_folder.yaml, which explains them, and the `split` that a run
    stored. In memory or by workers, batches are the same as long as mean and deviation are: those of the training part
    in memory, ImageNet's where images do not fit. `levels` is the full range where older configurations lack it.

    Raises:
        UsageError: no such folder, another layout, too few images, or an option out of its range.
    """
    if root is None:
        raise UsageError(f"dataset.root=<folder> is missing: it must hold {LAYOUT}")
    check_image_options(image_size, split_seed, shift, flip)
    check_number("dataset.memory_limit_mb", memory_limit_mb, whole=False)
    # the files of each part, and how they are read
    folder, division = Path(root), (val, test, train_images, split_seed)
    intake = Intake(max_pixels, skip_corrupt, split)
    files = intake.files(folder, partial(list_parts, folder), lambda listed: divide_parts(listed, *division))
    reader = square_reader(files.files["train"], image_size, channels, levels, max_pixels)
    called, augment, normalisation = name or name_of(folder), ShiftFlip(shift, flip), Normalisation(mean, std)
    # all parts together decide, so that every part of a data set is read in one way
    if sum(map(len, files.files.values())) * reader.channels * reader.size**2 <= memory_limit_mb * 1e6:
        return in_memory(called, files, reader, augment, normalisation, cache)

    from src.datasets.worker import WorkerDataset  # late: it loads Lightning

    # those in memory are decoded by now, these one by one when a step meets them
    if not (files.is_restored or skip_corrupt):
        refuse_unreadable(files, max_pixels, in_full=False)
    return WorkerDataset(called, files, reader, reader, augment, normalisation, workers, memory_limit_mb)


def name_of(folder: Path) -> str:
    """The folder's name; of a folder called train its parent's, which says more."""
    resolved = folder.resolve()
    return (resolved.parent if resolved.name.lower() in PART_NAMES["train"] else resolved).name


def in_memory(
    name: str,
    files: DividedFiles,
    reader: SquareReader,
    augment: Augment,
    normalisation: Normalisation,
    cache: str | None,
) -> MemoryDataset:
    """A data set of all images decoded, from the `cache` folder where they are known.

    Raises:
        UsageError: files cannot be read; all of them are named.
    """
    # part by part, from the cache or decoded
    parts = {}
    try:
        for part in PARTS:
            pixels = torch.from_numpy(decode_cached(files.files[part], reader, cache))
            parts[part] = ImagePart(pixels, files.labels[part], torch.from_numpy(files.indices[part]))
    except UnreadableError:
        # decoding stopped at the first: look at the others too, and name them together
        refuse_unreadable(files, reader.max_pixels, in_full=True)
        raise
    dataset = MemoryDataset(name, parts, files.classes, augment, normalisation, reader.preprocessing)
    dataset.passed_over, dataset.record = files.passed_over, files.record
    return dataset
