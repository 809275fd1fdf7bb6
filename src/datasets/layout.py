"""Layouts of a folder of images: which of its folders are parts, and what is held out for the others.

N images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.datasets.folder import LAYOUT, Files, Listing, list_images, scan
from src.datasets.split import Indices, hold_out, only, train_and_val
from src.runtime.errors import UsageError

PART_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""Part -> the names of its folder, in any case."""


@dataclass(frozen=True)
class DividedFiles:
    """Files, labels (N,) and numbers (N,) of train, val and test, by part."""

    classes: list[str]
    files: dict[str, Files]
    labels: dict[str, Tensor]
    indices: dict[str, Indices]
    """Numbers of the images: a folder's own, and those of a val folder after those of its train folder."""
    passed_over: Counter[str]
    record: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What a run stores of its files; see file_record."""
    is_restored: bool = False
    """Whether a run that was started before named them."""


def list_parts(root: Path) -> dict[str, Listing]:
    """The images of a folder in any layout, by the parts that have folders of their own; without such all are train.

    Raises:
        UsageError: train/ alone, val/ or test/ without it, or different classes in them.
    """
    folders = part_folders(root) if root.is_dir() else {}
    # one of them alone would silently become a class
    if folders and "train" not in folders:
        raise UsageError(f"{root} has {names_of(folders)} but no train/: dataset.root=<folder> must hold {LAYOUT}")
    if len(folders) == 1:
        raise UsageError(
            f"{root} has {names_of(folders)} but no test/: add it, or hold one out by dataset.root={folders['train']}"
        )
    listed = {part: list_images(folder) for part, folder in folders.items()} or {"train": list_images(root)}
    for other in listed.values():
        check_same_classes(listed["train"], other)
    return listed


def divide_parts(
    listed: dict[str, Listing], val: float, test: float, train_images: float | None, seed: int
) -> DividedFiles:
    """Train, val and test; those that are not `listed` are held out of train.

    Raises:
        UsageError: too few images.
    """
    whole = listed["train"]
    # test first, so that it depends neither on `val` nor on `train_images`
    rest, positions = np.arange(len(whole.labels)), {}
    if "test" not in listed:
        rest, positions["test"] = hold_out(whole.labels, test, seed, whole.classes, "dataset.test")
        if len(listed) > 1:
            held = len(positions["test"])
            print(
                f"{whole.files.root.parent} has no test/: {held} images of train/ are held out (dataset.test={test:g})"
            )
    if "val" not in listed:
        parts = train_and_val(whole.labels[rest], val, train_images, seed, whole.classes)
        positions |= {part: rest[where] for part, where in parts.items()}
    else:
        positions["train"] = rest[only(whole.labels[rest], train_images, seed, whole.classes)]
    return divide(listed, positions)


def part_folders(root: Path) -> dict[str, Path]:
    """The folders of parts in `root`, by part.

    Raises:
        UsageError: two names of one part.
    """
    folders: dict[str, Path] = {}
    for entry in sorted(scan(root), key=lambda entry: entry.name):
        for part, names in PART_NAMES.items():
            if entry.is_dir() and entry.name.lower() in names:
                if part in folders:
                    raise UsageError(f"{root} has {folders[part].name}/ and {entry.name}/: leave one of them")
                folders[part] = Path(entry.path)
    return {part: folders[part] for part in PART_NAMES if part in folders}


def names_of(folders: dict[str, Path]) -> str:
    """`train/ and val/`."""
    return " and ".join(f"{folder.name}/" for folder in folders.values())


def divide(listed: dict[str, Listing], positions: dict[str, Indices]) -> DividedFiles:
    """Files at `positions` of the training folder, and all files of the parts that have folders of their own."""
    train = listed["train"]
    sources = {part: listed.get(part, train) for part in ("train", "val", "test")}
    where = {part: positions.get(part, np.arange(len(source.labels))) for part, source in sources.items()}
    # a val folder continues the numbers of train, whose number no image of it may have
    numbers = {part: index + len(train.labels) * (part == "val" and part in listed) for part, index in where.items()}
    return DividedFiles(
        train.classes,
        {part: source.files.take(where[part]) for part, source in sources.items()},
        {part: torch.from_numpy(source.labels[where[part]]) for part, source in sources.items()},
        {part: numbers[part] for part in (*positions, *(part for part in sources if part not in positions))},
        sum((listing.passed_over for listing in listed.values()), Counter()),
    )


def check_same_classes(train: Listing, tested: Listing) -> None:
    """Refuse a class that only one of the two folders has."""
    for here, there in ((train, tested), (tested, train)):
        missing = sorted(set(here.classes) - set(there.classes))
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise UsageError(
                f"class '{missing[0]}'{more} is in {here.files.root} but not in {there.files.root}: "
                "both must hold the same class folders"
            )
