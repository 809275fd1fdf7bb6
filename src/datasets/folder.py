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
from numpy.typing import NDArray

from src.datasets.split import Indices
from src.runtime.errors import UsageError, unknown

EXTENSIONS = (".avif", ".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""In any case; other files are passed over."""

LAYOUT = "train/<class>/ with test/<class>/, val/<class>/ or both, or <class>/ folders alone"

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
