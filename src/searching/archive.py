"""Every network a search has scored, in memory and in archive.csv, and where the search stands.

n networks, K objectives.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.runtime.errors import UsageError
from src.runtime.run_folder import ARCHIVE, append_rows, cut_back
from src.searchers.objectives import Objectives
from src.supernet.path import ArchPath, format_path, parse_path

COLUMNS = ("generation", "path", "arch", "accuracy", "loss", "params", "macs", "latency", "truth")
GENERATION_COLUMNS = (
    "generation",
    "models",  # distinct networks scored so far
    "new",  # of them by this generation
    "front",  # networks that none dominates
    "hypervolume",  # that they dominate, as a share of what the bounds of the objectives enclose
    "true_hypervolume",  # the same networks by their truth, as a share of what the true front dominates
    "best",  # highest accuracy, or lowest loss
    "wall_seconds",
)
Row = Mapping[str, Any]


class Archive:
    """Networks in the order in which they were scored; `rows` have COLUMNS."""

    def __init__(self, folder: Path, objectives: Objectives) -> None:
        self.file, self.objectives = folder / ARCHIVE, objectives
        self.rows: dict[ArchPath, Row] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, path: ArchPath) -> bool:
        return path in self.rows

    def add(self, generation: int, scored: Sequence[tuple[ArchPath, Row]]) -> None:
        """Append networks to the file, then keep them."""
        rows = [(path, {"generation": generation, "path": format_path(path), **row}) for path, row in scored]
        append_rows(self.file, COLUMNS, [row for _, row in rows])
        with self.file.open("rb") as written:
            os.fsync(written.fileno())  # the checkpoint that comes after it is synced too
        self.rows.update(rows)

    def values(self, paths: Sequence[ArchPath] | None = None) -> NDArray[np.float64]:
        """Minimised values (n, K) of some networks, or of all."""
        rows = list(self.rows.values()) if paths is None else [self.rows[path] for path in paths]
        if not rows:
            return np.zeros((0, len(self.objectives.all)))
        return self.objectives.minimised({name: [row[name] for row in rows] for name in self.objectives.names})

    def resume(self, generation: int, models: int) -> None:
        """Read the rows written up to a generation, and drop those written after it.

        Raises:
            UsageError: that is not the number of networks scored by then; nothing is dropped.
        """
        # Refuse before anything is dropped
        written = self._generations()
        known = sum(number <= generation for number in written)
        if known != models or (generation == 0 and any(number > 1 for number in written)):
            raise UsageError(
                f"{self.file} holds {known} of the {models} networks that the checkpoint knows, {len(written)} in all: "
                "it was changed or damaged, so start a new search"
            )
        # Drop, then read
        cut_back(self.file, generation)
        self.rows = {}
        if self.file.exists():
            with self.file.open(newline="") as lines:
                self.rows = {parse_path(row["path"]): _numbers(row) for row in csv.DictReader(lines)}

    def _generations(self) -> list[int]:
        """The generation of each whole row of the file."""
        if not self.file.exists():
            return []
        lines = [line for line in self.file.read_text().splitlines(keepends=True)[1:] if line.endswith("\n")]
        try:
            return [int(line.split(",", 1)[0]) for line in lines]
        except ValueError:
            raise UsageError(f"{self.file} is damaged: a row does not begin with a generation") from None


def _numbers(row: Mapping[str, str]) -> Row:
    """Parse a row of the file; Python writes floats so that they are read back exactly."""
    whole = ("generation", "params", "macs")
    values: dict[str, Any] = {"path": row["path"], "arch": row["arch"]}
    for name in COLUMNS:
        if name not in values:
            values[name] = None if row[name] == "" else int(row[name]) if name in whole else float(row[name])
    return values
