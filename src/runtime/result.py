"""result.json, the figures of a finished command: its common head, its only writer and reader, and tables of figures.

`result_schemas` has the dataclass of each command.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar, TypeVar

from rich.table import Table

from src.runtime.errors import UsageError
from src.runtime.run_folder import RESULT, read_json, write_json

SCHEMA = 2
"""Version of the files' layout; 1, without the key, was written before the layouts were declared."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The head of every result.json."""

    command: ClassVar[str]
    first_schema: ClassVar[int] = SCHEMA
    """The oldest layout that has these fields."""
    commit: str
    seed: int | None = None
    device: str | None = None
    wall_seconds: float | None = None
    """Seconds over all starts of the command."""
    backward_passes: int | None = None
    """Of all training that the command did; None where it trains nothing."""


Kind = TypeVar("Kind", bound=Result)


def write_result(folder: Path, result: Result) -> None:
    """Store a result as result.json, atomically; the file is written last, so that a folder that has it is finished."""
    write_json(folder / RESULT, {"command": result.command, "schema": SCHEMA, **asdict(result)})


def read_result(folder: Path, kind: type[Kind]) -> Kind | None:
    """The result of a run folder; None if it has none yet, or one of another command or layout.

    Raises:
        UsageError: the file is damaged.
    """
    stored = read_json(folder / RESULT)
    if stored is None or stored.get("command") != kind.command or stored.get("schema", 1) < kind.first_schema:
        return None
    try:
        return kind(**{item.name: stored[item.name] for item in fields(kind) if item.name in stored})
    except TypeError as error:
        raise UsageError(f"{folder / RESULT} is damaged: {error}") from None


def figures_table(title: str, rows: Sequence[tuple[str, ...]], columns: Sequence[str] = ("figure", "value")) -> Table:
    """A table whose first column is text and whose other columns are numbers; a row named in bold begins with `*`."""
    table = Table(title=title)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right")
    for name, *cells in rows:
        table.add_row(name.removeprefix("*"), *cells, style="bold" if name.startswith("*") else None)
    return table


def estimate_cells(estimate: Mapping[str, float | None]) -> tuple[str, str]:
    """An estimate {value, low, high} as two cells: the value and its 95 % interval."""
    if estimate["value"] is None:
        return "undefined", ""
    return f"{estimate['value']:.3f}", f"{estimate['low']:.3f} to {estimate['high']:.3f}"
