"""Image files in class folders, and their division into train, val and test.

N images.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.datasets.split import Indices, hold_out, train_and_val
from src.runtime.errors import UsageError, unknown

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""In any case; other files are passed over."""

LAYOUT = "train/<class>/ and test/<class>/ folders, or <class>/ folders alone"


@dataclass(frozen=True)
class Files:
    """Paths below `root`: (N,) fixed-width bytes, since a million Python strings would be copied into every worker."""

    root: Path
    names: NDArray[np.bytes_]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return (self.path(position) for position in range(len(self)))

    def path(self, position: int) -> str:
        """The path of one file."""
        return os.path.join(self.root, os.fsdecode(bytes(self.names[position])))  # noqa: PTH118 - a million times

    def take(self, positions: Indices | slice) -> Files:
        """The files at `positions`, in that order."""
        return Files(self.root, self.names[positions])


@dataclass(frozen=True)
class Listing:
    """All images of a folder of class folders, sorted by class and by name; labels (N,)."""

    files: Files
    labels: Indices
    classes: list[str]


@dataclass(frozen=True)
class DividedFiles:
    """Files, labels (N,) and numbers (N,) of train, val and test, by part."""

    classes: list[str]
    files: dict[str, Files]
    labels: dict[str, Tensor]
    indices: dict[str, Indices]


def list_images(root: Path, classes: list[str] | None = None) -> Listing:
    """The images below `root`, of all classes or of some.

    Raises:
        UsageError: a folder is missing, or a class has no image; it is named.
    """
    classes = class_folders(root, classes)
    by_class = []
    for name in classes:
        # sorted, since the order of a directory differs between machines and a split must not
        entries = scan(root / name)
        images = sorted(e.name for e in entries if e.name.lower().endswith(EXTENSIONS) and e.name[0] != ".")
        if not images:
            raise UsageError(f"class folder {root / name} holds no image ({' '.join(EXTENSIONS)})")
        by_class.append(images)
    names = [os.fsencode(f"{name}/{file}") for name, files in zip(classes, by_class, strict=True) for file in files]
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in by_class])
    return Listing(Files(root, np.array(names)), labels, classes)


def class_folders(root: Path, wanted: list[str] | None = None) -> list[str]:
    """Names of the folders in `root`, hidden ones aside, sorted; `wanted` picks from them."""
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}: dataset.root=<folder> must hold {LAYOUT}")
    # sorted, so that class numbers are the same on every file system
    names = sorted(entry.name for entry in scan(root) if entry.is_dir() and not entry.name.startswith("."))
    # a long list of names is cut short in the refusal
    if wanted is not None:
        for name in wanted:
            if name not in names:
                raise unknown(f"class in {root}", name, names[:20] + ["..."] * (len(names) > 20))
        names = sorted(wanted)
    if len(names) < 2:
        raise UsageError(f"{root} holds {len(names)} class folders, at least 2 are needed: dataset.root needs {LAYOUT}")
    return names


def scan(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, in no order."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror}") from error


def divide_folder(root: Path, val: float, test: float, train_images: float | None, seed: int) -> DividedFiles:
    """The three parts of a folder in either layout; `test` is held out where there is no test folder.

    Raises:
        UsageError: train/ without test/ or the reverse, different classes in them, or too few images.
    """
    has_train, has_test = ((root / part).is_dir() for part in ("train", "test"))
    # one of the two alone would silently become a class
    if has_train and not has_test:
        raise UsageError(f"{root} has train/ but no test/: add it, or hold one out by dataset.root={root / 'train'}")
    if has_test and not has_train:
        raise UsageError(f"{root} has test/ but no train/: dataset.root=<folder> must hold {LAYOUT}")
    if has_train:
        train, tested = list_images(root / "train"), list_images(root / "test")
        check_same_classes(train, tested)
        return divide(train, train_and_val(train.labels, val, train_images, seed, train.classes), tested)
    whole = list_images(root)
    # test first, so that it depends neither on `val` nor on `train_images`
    rest, held = hold_out(whole.labels, test, seed, whole.classes, "dataset.test")
    positions = train_and_val(whole.labels[rest], val, train_images, seed, whole.classes)
    return divide(whole, {part: rest[where] for part, where in positions.items()} | {"test": held})


def divide(listing: Listing, positions: dict[str, Indices], tested: Listing | None = None) -> DividedFiles:
    """The files at `positions` of a listing, and all of `tested` as the test part, numbered by itself."""
    sources = dict.fromkeys(positions, listing)
    if tested is not None:
        sources["test"], positions = tested, positions | {"test": np.arange(len(tested.labels))}
    return DividedFiles(
        listing.classes,
        {part: sources[part].files.take(where) for part, where in positions.items()},
        {part: torch.from_numpy(sources[part].labels[where]) for part, where in positions.items()},
        positions,
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
