"""Architectures as a user names them: a published name, a path, an arch string, or a row of a file."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from src.runtime.errors import UsageError
from src.runtime.run_folder import RESULT, read_json
from src.runtime.tables import read_table_text, separator_of
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath

BEST = "best"
"""The row of the best score: what the search that wrote the file went by, else accuracy, else loss."""


def read_arch(text: object, space: SearchSpace, pick: int | str | None = None) -> ArchPath:
    """The path that `arch=` names: as the space reads it, or row `pick` of a file of architectures.

    Rows are counted from 0, and from -1 backwards; `best` is the row of the best score.

    Raises:
        UsageError: neither of them, a file of another space, no row named where it has several, or one it has not.
    """
    # an architecture by itself
    file = Path(str(text))
    try:
        path = space.parse(text)
    except UsageError as error:
        if not _means_file(file):
            raise UsageError(f"arch={text}: {error}; a file of architectures will do too") from None
    else:
        if pick not in (None, 0):  # 0 stands in the configurations of runs from when it was the default
            raise UsageError(f"pick={pick} chooses a row of a file, and arch={text} is one architecture: leave it out")
        return path
    # a row of a file
    listed = listed_archs(file, space, "arch")
    is_missing = pick is None and len(listed) > 1  # row 0 of a front is the cheapest network, which few mean
    row = best_row(file, len(listed)) if isinstance(pick, str) else pick or 0
    if is_missing or not -len(listed) <= row < len(listed):
        problem = "pick=<row> is missing" if is_missing else f"pick={pick}"
        rows = f"0 to {len(listed) - 1}, -1 for the last, or {BEST}"
        raise UsageError(f"{problem}: {file} lists {len(listed)}, counted from 0, so use {rows}")
    return listed[row]


def best_row(file: Path, rows: int) -> int:
    """The row, of `rows` in a CSV, with the highest accuracy, or with the lowest loss.

    The search that wrote it says in its result.json which of them it went by; other files by accuracy if they have it.

    Raises:
        UsageError: it has neither column, or a row without a number there.
    """
    # read once more, for the columns beside the architectures
    text = read_table_text(file)
    table = list(csv.DictReader(text.splitlines(), delimiter=separator_of(text)))
    signs = {"accuracy": -1, "loss": 1}
    objectives = (read_json(file.parent / RESULT) or {}).get("objectives", [])
    for column in sorted(signs, key=lambda name: name not in objectives):
        sign = signs[column]
        if len(table) == rows and table and column in table[0]:
            try:
                scores = [sign * float(row[column].replace(",", ".")) for row in table]
            except (AttributeError, ValueError):
                raise UsageError(f"pick={BEST}: {file} has a row without a number as {column}") from None
            return min(range(rows), key=lambda row: math.inf if math.isnan(scores[row]) else scores[row])
    raise UsageError(f"pick={BEST}: {file} has no column accuracy or loss, so use a row, 0 to {rows - 1}")


def listed_archs(file: Path, space: SearchSpace, option: str) -> list[ArchPath]:
    """The paths of a CSV with a column arch or path, or of a text with one architecture a line, in the file's order.

    Raises:
        UsageError: no such file, no text, nothing in it, or a line that is not a path of the space; `option` named it.
    """
    if not file.is_file():
        raise UsageError(f"{option}={file}: there is no such file")
    try:
        text = read_table_text(file)
    except UsageError as error:
        raise UsageError(f"{option}={error}") from None
    lines, separator = text.splitlines(), separator_of(text)
    # A column by its name, or every line; line numbers in messages count from 1, below the header from 2
    header = next(csv.reader(lines[:1], delimiter=separator), [])
    column = next((name for name in ("arch", "path") if name in header), None)
    listed = (
        [row[column] for row in csv.DictReader(lines, delimiter=separator)]
        if column
        else [line.strip() for line in lines]
    )
    paths = [_parsed(space, text, f"{file}, line {i}") for i, text in enumerate(listed, 2 if column else 1) if text]
    if not paths:
        raise UsageError(
            f"{option}={file} names no architecture: write one a line, or a CSV with a column arch or path"
        )
    return paths


def _means_file(file: Path) -> bool:
    """It exists, or is written like a file's name."""
    return file.is_file() or len(file.parts) > 1 or file.suffix in (".csv", ".txt")


def _parsed(space: SearchSpace, text: str, where: str) -> ArchPath:
    try:
        return space.parse(text)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
