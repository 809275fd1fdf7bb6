"""Image files in class folders, and their division into train, val and test.

N images.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.datasets.split import Indices, hold_out, only, train_and_val
from src.runtime.errors import UsageError, unknown

EXTENSIONS = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""In any case; other files are passed over."""

LAYOUT = "train/<class>/ with test/<class>/, val/<class>/ or both, or <class>/ folders alone"

PART_NAMES = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""Part -> the names of its folder, in any case."""

ARCHIVERS = ("__MACOSX",)
"""Folders that archivers leave behind."""


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
    passed_over: Counter[str]
    """Kind of entry, `.heic` or `hidden`, -> entries of the class folders that are no images."""


@dataclass(frozen=True)
class DividedFiles:
    """Files, labels (N,) and numbers (N,) of train, val and test, by part."""

    classes: list[str]
    files: dict[str, Files]
    labels: dict[str, Tensor]
    indices: dict[str, Indices]
    """Numbers of the images: a folder's own, and those of a val folder after those of its train folder."""
    passed_over: Counter[str]


def list_images(root: Path, classes: list[str] | None = None) -> Listing:
    """The images below `root`, of all classes or of some.

    Raises:
        UsageError: a folder is missing, or a class has no image; it is named.
    """
    classes = class_folders(root, classes)
    by_class, passed_over = [], Counter[str]()
    for name in classes:
        # sorted, since the order of a directory differs between machines and a split must not
        entries = sorted(scan(root / name), key=lambda entry: entry.name)
        kinds = {entry.name: kind_of(entry) for entry in entries}
        images = [file for file, kind in kinds.items() if kind == IMAGE]
        passed_over.update(kind for kind in kinds.values() if kind != IMAGE)
        if not images:
            raise UsageError(f"class folder {root / name} holds no image ({' '.join(EXTENSIONS)}){deeper(entries)}")
        by_class.append(images)
    names = [os.fsencode(f"{name}/{file}") for name, files in zip(classes, by_class, strict=True) for file in files]
    labels = np.repeat(np.arange(len(classes)), [len(files) for files in by_class])
    return Listing(Files(root, np.array(names)), labels, classes, passed_over)


IMAGE = "image"


def kind_of(entry: os.DirEntry[str]) -> str:
    """`image`, `hidden`, `folders`, or the suffix of another file."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_dir():
        return "folders"
    suffix = Path(entry.name).suffix.lower()
    return IMAGE if suffix in EXTENSIONS else suffix or "without suffix"


def deeper(entries: Sequence[os.DirEntry[str]]) -> str:
    """A hint for a folder without images whose own folders hold some."""
    for entry in entries:
        if entry.is_dir() and any(kind_of(inner) == IMAGE for inner in scan(Path(entry.path))):
            return f": they lie one folder deeper, in {entry.path}"
    return ""


def class_folders(root: Path, wanted: list[str] | None = None) -> list[str]:
    """Names of the folders in `root`, hidden ones aside, sorted; `wanted` picks from them."""
    if not root.is_dir():
        raise UsageError(f"there is no folder {root}: dataset.root=<folder> must hold {LAYOUT}")
    # sorted, so that class numbers are the same on every file system
    entries = scan(root)
    names = sorted(e.name for e in entries if e.is_dir() and e.name[0] != "." and e.name not in ARCHIVERS)
    # a long list of names is cut short in the refusal
    if wanted is not None:
        for name in wanted:
            if name not in names:
                raise unknown(f"class in {root}", name, names[:20] + ["..."] * (len(names) > 20))
        names = sorted(wanted)
    if len(names) < 2:
        loose = sum(kind_of(entry) == IMAGE for entry in entries)
        hint = f" ({loose} images lie in it without a class, and cannot be used)" if loose else ""
        raise UsageError(
            f"{root} holds {len(names)} class folders{hint}, at least 2 are needed: dataset.root needs {LAYOUT}"
        )
    return names


def scan(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, in no order."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UsageError(f"cannot read the folder {folder}: {error.strerror}") from error


def divide_folder(root: Path, val: float, test: float, train_images: float | None, seed: int) -> DividedFiles:
    """The three parts of a folder in any layout; parts without a folder of their own are held out.

    Raises:
        UsageError: train/ alone, val/ or test/ without it, different classes in them, or too few images.
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
    whole = listed["train"]
    for other in listed.values():
        check_same_classes(whole, other)
    # test first, so that it depends neither on `val` nor on `train_images`
    rest, positions = np.arange(len(whole.labels)), {}
    if "test" not in listed:
        rest, positions["test"] = hold_out(whole.labels, test, seed, whole.classes, "dataset.test")
        if folders:
            print(
                f"{root} has no test/: {len(positions['test'])} images of train/ are held out (dataset.test={test:g})"
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
