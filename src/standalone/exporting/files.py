"""The files of an export: made in a folder beside their places, checked there, then moved, each at one stroke."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from src.runtime.errors import UsageError
from src.runtime.run_folder import RESULT, claim

META = "meta.json"
MAKING = ".making"
"""Where new files lie until all are there; after a kill it shows that what is beside it may be of two exports."""


@contextmanager
def making(out: Path, names: Sequence[str]) -> Iterator[Path]:
    """A folder to write the new files of `out` to; they replace its own old ones when the block ends without an error.

    `names` are all that any export writes: those that are not written this time are removed.

    Raises:
        UsageError: the folder cannot be written to, or holds such files that no export wrote.
    """
    with claim(out):
        _refuse_others(out, names)
        folder = out / MAKING
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder)
            raise
        _move(folder, out, names)
        shutil.rmtree(folder)


def _refuse_others(out: Path, names: Sequence[str]) -> None:
    there = [name for name in names if (out / name).exists()]
    if not there or (out / MAKING).is_dir():
        return
    if not _is_exports(out / RESULT):
        raise UsageError(f"out={out} holds a {there[0]} that no export wrote: give another folder")


def _is_exports(result: Path) -> bool:
    try:
        return json.loads(result.read_text())["command"] == "export"
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _move(folder: Path, out: Path, names: Sequence[str]) -> None:
    """The old result goes first and the new one comes last: who finds one finds the files that it speaks of."""
    (out / RESULT).unlink(missing_ok=True)
    for name in sorted(names, key=lambda name: name == RESULT):
        if not (folder / name).exists():
            (out / name).unlink(missing_ok=True)
            continue
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
        (folder / name).replace(out / name)
