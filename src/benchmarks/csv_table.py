"""Reads and checks CSV files of users and of benchmarks; arch strings stay text."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from src.runtime.errors import UsageError


def read_csv(path: Path, text: Sequence[str]) -> pd.DataFrame:
    """The table of a CSV file; the columns `text` stay text, so `02012100` keeps its first zero.

    Raises:
        UsageError: no CSV file, or rows longer than its header.
    """
    try:
        with warnings.catch_warnings():
            # pandas would drop values that have no column, with a warning alone
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(path, dtype=dict.fromkeys(text, str), index_col=False)
    except (ValueError, pd.errors.ParserWarning) as error:
        raise UsageError(f"{path} is not a CSV table: {str(error).splitlines()[0]}") from None


def check_columns(path: Path, frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse, by UsageError, a table that lacks one of these columns; it names those that are there."""
    for column in columns:
        if column not in frame:
            raise UsageError(f"{path} has no column '{column}': it has {', '.join(map(str, frame))}")


def check_numbers(path: Path, frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse, by UsageError, a table with text in one of these columns; empty cells are let through."""
    for column in columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise UsageError(f"{path}: the column '{column}' holds more than numbers")
