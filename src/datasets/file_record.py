"""The files of a run as its split.npz names them: a run goes on with the images it was started with.

N images.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from src.datasets.examine import unreadable
from src.datasets.folder import Files
from src.datasets.layout import DividedFiles
from src.datasets.split import Indices
from src.runtime.errors import UsageError

Marks = NDArray[np.uint64]
PARTS = ("train", "val", "test")
Record = dict[str, NDArray[Any]]
"""What split.npz holds beside the numbers of the images: by part `<part>_files`, `<part>_labels`, `<part>_marks`."""

MANY, HEAD = 100_000, 4096
"""Files, and bytes of each, that are read to know them again."""
GONE = 0
"""The mark of a file that does not exist."""
NAMED = 5
"""Files that one line names."""


def record_of(files: DividedFiles, root: Path, is_examined: bool) -> Record:
    """Names below `root`, labels and marks of all files; `is_examined`: each was decoded once."""
    record: Record = {"classes": np.array(files.classes), "examined": np.array(is_examined)}
    record["passed_over"] = np.array(json.dumps(files.passed_over))
    opens = opens_all(files.files)
    for part, of_part in files.files.items():
        below = os.fsencode(os.path.relpath(of_part.root, root)) + b"/"
        record[f"{part}_files"] = np.char.add(b"" if below == b"./" else below, of_part.names)
        record[f"{part}_labels"] = files.labels[part].numpy()
        record[f"{part}_marks"] = marks_of(of_part, opens)
    return record


def opens_all(parts: Mapping[str, Files]) -> bool:
    """Whether marks cover the first bytes of each file: to open a million of them takes minutes."""
    return sum(map(len, parts.values())) <= MANY


def marks_of(files: Files, opens: bool) -> Marks:
    """(N,) a hash of each file's size and, if `opens`, of its first bytes; GONE where there is no file.

    Raises:
        UsageError: a file cannot be read for another reason.
    """

    def mark(path: str) -> int:
        try:
            known = hashlib.blake2b(b"%d," % os.stat(path).st_size, digest_size=8)  # noqa: PTH116 - a million times
            if opens:
                with open(path, "rb") as file:  # noqa: PTH123 - likewise
                    known.update(file.read(HEAD))
        except FileNotFoundError:
            return GONE
        except OSError as error:
            raise UsageError(f"cannot read image {path}: {error.strerror}") from error
        return int.from_bytes(known.digest()) or 1

    return np.fromiter(map(mark, files), np.uint64, len(files))


def restore(split: Path | None, root: Path, skip_corrupt: bool, max_pixels: int) -> DividedFiles | None:
    """The files of the run that wrote `split`; None without such a file, or where it names none (earlier versions).

    With `skip_corrupt` the place of a file that is gone, or cannot be decoded, goes to the next image of its class, so
    that mini-batches stay as large as they were; these files are named on stderr.

    Raises:
        UsageError: files are gone, or others have their names; they are named.
    """
    if split is None or not split.exists():
        return None
    with np.load(split) as stored:
        record: Record = dict(stored)
    if "train_files" not in record:
        return None
    parts = {part: Files(root, record[f"{part}_files"]) for part in PARTS}
    opens = opens_all(parts)
    marks = {part: marks_of(files, opens) for part, files in parts.items()}
    lost = {part: marks[part] == GONE for part in parts}
    # other images under the same names would be another training
    replaced = {part: (marks[part] != record[f"{part}_marks"]) & ~lost[part] for part in parts}
    refuse_where(replaced, parts, split, "are other files now", "restore them, or start a new run")
    if not skip_corrupt:
        way_on = f"restore them, or go on without them by resume={split.parent} dataset.skip_corrupt=true"
        refuse_where(lost, parts, split, "are gone", way_on)
    elif not record["examined"]:
        for part, files in parts.items():
            lost[part][list(unreadable(files, max_pixels, in_full=True))] = True
        record["examined"] = np.array(True)
    # what is left: the same number of images in the same order
    fill_places(record, parts, marks, lost)
    return DividedFiles(
        [str(name) for name in record["classes"]],
        {part: Files(root, record[f"{part}_files"]) for part in parts},
        {part: torch.from_numpy(record[f"{part}_labels"]) for part in parts},
        {part: record[part] for part in parts},
        Counter(json.loads(str(record["passed_over"]))),
        record,
        is_restored=True,
    )


def fill_places(
    record: Record, parts: Mapping[str, Files], marks: Mapping[str, Marks], lost: Mapping[str, NDArray[np.bool_]]
) -> None:
    """Give the place of each lost file to another, in the record too, so that later commands see the same images."""
    passed_over = Counter(json.loads(str(record["passed_over"])))
    for part, files in parts.items():
        sources = stand_ins(record[f"{part}_labels"], lost[part], record["classes"], part)
        for position in np.flatnonzero(lost[part]):
            source = files.path(int(sources[position]))
            print(f"{files.path(int(position))} is gone or cannot be read: {source} takes its place", file=sys.stderr)
            passed_over["unreadable"] += 1
        record[f"{part}_files"], record[f"{part}_marks"] = files.names[sources], marks[part][sources]
    record["passed_over"] = np.array(json.dumps(passed_over))


def refuse_where(
    where: Mapping[str, NDArray[np.bool_]], parts: Mapping[str, Files], split: Path, what: str, way_on: str
) -> None:
    """Refuse to go on if any file is marked True; the first few are named."""
    names = list(marked(where, parts))
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        total = sum(map(len, parts.values()))
        raise UsageError(
            f"{len(names)} of the {total} images of {split.parent} {what}: "
            f"{', '.join(names[:NAMED])}{more}; {way_on} (dataset.root=<folder> if all have moved)"
        )


def marked(where: Mapping[str, NDArray[np.bool_]], parts: Mapping[str, Files]) -> Iterator[str]:
    """Paths of the files that are marked True."""
    for part, files in parts.items():
        yield from files.take(np.flatnonzero(where[part]))


def stand_ins(labels: Indices, lost: NDArray[np.bool_], classes: NDArray[np.str_], part: str) -> Indices:
    """(N,) the position whose file each place takes: its own, or the next of its class that is not lost.

    Raises:
        UsageError: a class has no image left.
    """
    # forwards, and from the end of a class on to its beginning
    sources = np.arange(len(labels))
    for position in np.flatnonzero(lost):
        left = np.flatnonzero((labels == labels[position]) & ~lost)
        if not len(left):
            raise UsageError(f"class '{classes[labels[position]]}' has no image left in the {part} part")
        sources[position] = left[np.searchsorted(left, position) % len(left)]
    return sources
