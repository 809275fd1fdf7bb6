"""Image files that cannot be read, found before training and not by the step that meets them.

N images.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from PIL import Image
from tqdm import tqdm

from src.datasets.decode import UnreadableError, read_image
from src.datasets.folder import Files, Listing
from src.datasets.layout import DividedFiles
from src.runtime.errors import UsageError
from src.runtime.processes import cores

ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
"""What the last bytes of a complete file hold, by Pillow's name of its format."""
TAIL = 1024
"""Bytes at the end of a file that are searched for it: some programs append notes of their own."""
CHUNK = 20_000
"""Files that are queued at once."""
DEEP_MODES = ("F", "I")
"""Modes whose pixels decide whether they can be read."""


def refuse_unreadable(files: DividedFiles, max_pixels: int, in_full: bool) -> None:
    """Look at the header and the end of every file; `in_full`: decode each.

    Raises:
        UsageError: some cannot be read; several are listed on stderr first.
    """
    looked = [unreadable(part, max_pixels, in_full) for part in files.files.values()]
    lines = [line for of_part in looked for line in of_part.values()]
    if not lines:
        return
    # one line refuses; a longer list goes before it
    which = lines[0]
    if len(lines) > 1:
        print(*lines, sep="\n", file=sys.stderr)
        which = f"{len(lines)} images cannot be read (listed above)"
    raise UsageError(f"{which}: repair or remove, or leave out by dataset.skip_corrupt=true")


def without_unreadable(listed: Mapping[str, Listing], max_pixels: int) -> dict[str, Listing]:
    """The listings without the files that cannot be decoded; these are named on stderr.

    Raises:
        UsageError: a class has no image left.
    """
    kept = {}
    for part, listing in listed.items():
        flawed = unreadable(listing.files, max_pixels, in_full=True)
        for line in flawed.values():
            print(f"left out: {line}", file=sys.stderr)
        good = np.setdiff1d(np.arange(len(listing.files)), np.fromiter(flawed, np.int64))
        labels = listing.labels[good]
        for label in np.flatnonzero(np.bincount(labels, minlength=len(listing.classes)) == 0):
            raise UsageError(f"class '{listing.classes[label]}' of {listing.files.root} has no image that can be read")
        passed_over = listing.passed_over.copy()
        passed_over.update({"unreadable": len(flawed)} if flawed else {})
        kept[part] = Listing(listing.files.take(good), labels, listing.classes, passed_over)
    return kept


def unreadable(files: Files, max_pixels: int, in_full: bool) -> dict[int, str]:
    """Position of each file that cannot be read -> a line that names it and the reason; `in_full`: decode each."""
    # by threads, chunk by chunk, so that not every file of a large set is queued at once
    lines = {}
    look = partial(flaw, max_pixels=max_pixels, in_full=in_full)
    with (
        ThreadPoolExecutor(cores()) as pool,
        tqdm(None, "looking at images", len(files), leave=False, delay=2, unit="img") as bar,
    ):
        for start in range(0, len(files), CHUNK):
            chunk = files.take(slice(start, start + CHUNK))
            for position, line in enumerate(pool.map(look, chunk), start):
                bar.update()
                if line is not None:
                    lines[position] = line
    return lines


def flaw(path: str, max_pixels: int, in_full: bool) -> str | None:
    """Why a file cannot be read, in one line; None if it can.

    Only what the header and the end of a JPEG or PNG file leave in doubt is decoded, unless `in_full`.
    """
    try:
        if in_full or is_doubtful(path, max_pixels):
            read_image(path, max_pixels=max_pixels)
    except UnreadableError as error:
        return str(error)
    return None


def is_doubtful(path: str, max_pixels: int) -> bool:
    """Whether a file has to be decoded to know that it can be."""
    try:
        with open(path, "rb") as file, Image.open(file) as image:  # noqa: PTH123 - a million times
            end = ENDS.get(image.format or "")
            if end is None or image.mode.startswith(DEEP_MODES) or image.width * image.height > max_pixels:
                return True
            file.seek(max(file.seek(0, 2) - TAIL, 0))
            return end not in file.read()
    except Exception:  # decoding it will say what is wrong
        return True
