"""Reads and checks CSV files of users and of benchmarks; arch strings stay text."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from src.runtime.errors import UsageError
from src.runtime.tables import has_decimal_commas, read_table_text, separator_of

LONGEST, MOST = 80, 20
"""Characters, and names of columns, that a message shows."""


def read_csv(path: Path, text: Sequence[str]) -> pd.DataFrame:
    """The table of a CSV file; the columns `text` stay text, so `02012100` keeps its first zero.

    Columns may be separated by commas, semicolons or tabs, numbers may have decimal commas.

    Raises:
        UsageError: no CSV file, or rows longer than its header.
    """
    content = read_table_text(path)
    separator = separator_of(content)
    decimal = "," if has_decimal_commas(content, separator) else "."
    try:
        with warnings.catch_warnings():
            # pandas would drop values that have no column, with a warning alone
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(content), sep=separator, decimal=decimal, dtype=dict.fromkeys(text, str), index_col=False
            )
    except (ValueError, pd.errors.ParserWarning) as error:
        raise UsageError(f"{path} is not a CSV table: {str(error).splitlines()[0][:LONGEST]}") from None
    # numbers that stay text for now
    if decimal == ",":
        for column in set(text) & set(frame) - {"arch", "path"}:
            frame[column] = frame[column].str.replace(",", ".", regex=False)
    return frame


def check_columns(path: Path, frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse, by UsageError, a table that lacks one of these columns; it names those that are there."""
    for column in columns:
        if column not in frame:
            names = [str(name)[:LONGEST] for name in frame][:MOST]
            more = ", ..." if len(frame.columns) > MOST else ""
            raise UsageError(f"{path} has no column '{column}': it has {', '.join(names)}{more}")


def check_numbers(path: Path, frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse, by UsageError, a table with text in one of these columns; empty cells are let through."""
    for column in columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise UsageError(f"{path}: the column '{column}' holds more than numbers")
