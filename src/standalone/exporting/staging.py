"""The files of an export: written to a staging folder, checked there, then moved to their places, each atomically."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from src.runtime.errors import UsageError
from src.runtime.run_folder import RESULT, claim, read_json

META = "meta.json"
STAGING = ".making"
"""Holds new files until all are there; after a kill it shows that the files beside it may be of two exports."""


@contextmanager
def staging_folder(out: Path, names: Sequence[str]) -> Iterator[Path]:
    """A folder for the new files of `out`, which replace the old ones when the block ends without an error.

    `names` are all that any export writes: those that are not written this time are removed.

    Raises:
        UsageError: the folder cannot be written to, or holds such files that no export wrote.
    """
    with claim(out):
        refuse_others_files(out, names)
        # Beside their places, since a rename is atomic only within one file system.
        folder = out / STAGING
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder)
            raise
        # The old result goes first and the new one comes last: whoever sees one sees the files that it describes.
        (out / RESULT).unlink(missing_ok=True)
        for name in sorted(names, key=lambda name: name == RESULT):
            if not (folder / name).exists():
                (out / name).unlink(missing_ok=True)
                continue
            # On disk before the rename: a power cut must not leave an empty file under the final name.
            with (folder / name).open("rb") as file:
                os.fsync(file.fileno())
            (folder / name).replace(out / name)
        shutil.rmtree(folder)


def refuse_others_files(out: Path, names: Sequence[str]) -> None:
    """Refuse to overwrite files of these names that no export wrote.

    Raises:
        UsageError: it names the first of them.
    """
    # A staging folder shows an export that was killed between two files: all of them are its own.
    existing = [name for name in names if (out / name).exists()]
    if not existing or (out / STAGING).is_dir():
        return
    try:
        result = read_json(out / RESULT) or {}
    except (OSError, UsageError):  # unreadable: not written by an export
        result = {}
    if result.get("command") != "export":
        raise UsageError(f"out={out} holds a {existing[0]} that no export wrote: give another folder")
