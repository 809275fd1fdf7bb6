"""Score many paths into a CSV file, row by row, by one process or by several that share the work."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import distributed

from src.benchmarks.benchmark import Benchmark
from src.benchmarks.csv_table import check_columns, read_csv
from src.benchmarks.join import spellings
from src.benchmarks.sample import BENCHMARK, paths_to_score
from src.datasets.input_spec import InputSpec
from src.runtime.devices import chosen_device
from src.runtime.errors import UsageError, unknown
from src.runtime.progress import progress
from src.runtime.run_folder import SCORE_COLUMNS, append_rows, replace_file
from src.search_spaces.arch_option import listed_archs
from src.search_spaces.space import SearchSpace
from src.supernet.evaluator import Evaluator, Score, split_paths
from src.supernet.path import ArchPath, format_path

PATIENCE = timedelta(days=7)
"""How long a process waits for the others to finish their shares."""
Row = Callable[[ArchPath, Score], dict[str, Any]]


def score_row(space: SearchSpace, input_spec: InputSpec, common: Mapping[str, Any], truth: Mapping[str, float]) -> Row:
    """Makes a path's row of scores.csv: names, costs and accuracy alone beside its score and the `common` columns."""

    def row(path: ArchPath, score: Score) -> dict[str, Any]:
        arch, costs = space.format(path), space.costs(path, input_spec)
        alone = truth.get(space.benchmark_name(path))
        return {"arch": arch, **score._asdict(), **costs._asdict(), "truth": alone, **common}

    return row


def append_scores(file: Path, evaluator: Evaluator, paths: Sequence[ArchPath], row: Row) -> None:
    """Append `row(path, score)` for each path as it is scored, but for those whose row is there already."""
    protocol = evaluator.protocol
    known = scored(file, protocol)
    missing = [path for path in dict.fromkeys(paths) if format_path(path) not in known]
    done = len(set(paths)) - len(missing)
    with progress(f"score ({protocol})", "path", done + len(missing), done) as bar:
        for path, score in evaluator.scores(missing):
            append_rows(file, SCORE_COLUMNS, [{"path": format_path(path), **row(path, score), "bn": protocol}])
            bar.update()


def scored(file: Path, protocol: str) -> set[str]:
    """Paths whose row is already in a scores file; a last line that a kill left half written is dropped."""
    if not file.exists():
        return set()
    text = file.read_text()
    if not text.endswith("\n"):
        replace_file(file, text[: text.rfind("\n") + 1])
    with file.open(newline="") as lines:
        return {line["path"] for line in csv.DictReader(lines) if line["bn"] == protocol}


class ScoringProcesses:
    """The processes that torchrun started for one command, each scoring a share; without it, this process alone."""

    def __init__(self) -> None:
        """Use the process group that exists, or make one of RANK and WORLD_SIZE over gloo, for any device."""
        if distributed.is_initialized():
            self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
            return
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.size > 1:
            distributed.init_process_group("gloo", timeout=PATIENCE)

    def device(self, asked: str) -> torch.device:
        """The device of this process: with several, its own GPU."""
        return chosen_device(asked)

    def append_scores(self, file: Path, evaluator: Evaluator, paths: Sequence[ArchPath], row: Row) -> None:
        """`append_scores` by several processes: each writes a file of its own, the first gathers them at the end.

        What a broken-off start left in such files, with any number of processes, is gathered first.
        """
        self._gather(file)
        if self.size == 1:
            append_scores(file, evaluator, paths, row)
            return
        known = scored(file, evaluator.protocol)
        missing = [path for path in paths if format_path(path) not in known]
        part = file.with_name(f"{file.stem}.{self.rank}{file.suffix}")
        append_scores(part, evaluator, split_paths(missing, self.rank, self.size), row)
        self._gather(file)

    def _gather(self, file: Path) -> None:
        """Move the rows of all part files into `file`; every process waits until it is done."""
        self.wait()
        if self.rank == 0:
            for part in sorted(file.parent.glob(f"{file.stem}.*{file.suffix}")):
                if re.fullmatch(r"\.\d+", part.stem.removeprefix(file.stem)):
                    _move_rows(part, file)
        self.wait()

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            distributed.barrier()

    def end(self) -> None:
        """Part."""
        if self.size > 1:
            distributed.destroy_process_group()


def _move_rows(part: Path, file: Path) -> None:
    """Add the whole rows of `part` that `file` lacks, then remove it; a kill in between loses and repeats none."""
    text = part.read_text()
    rows = list(csv.DictReader(text[: text.rfind("\n") + 1].splitlines()))
    known = {bn: scored(file, bn) for bn in {row["bn"] for row in rows}}
    append_rows(file, SCORE_COLUMNS, [row for row in rows if row["path"] not in known[row["bn"]]])
    part.unlink()


def chosen_paths(option: object, space: SearchSpace, benchmark: Benchmark | None, seed: int) -> list[ArchPath]:
    """The paths that `paths=` names: see `paths_to_score`, or those of a file (CSV with arch or path, or one a line).

    Raises:
        UsageError: too many to list, no such file, or a line that is not a path of the space.
    """
    if isinstance(option, int) or option in ("all", BENCHMARK):
        return paths_to_score(option, space, benchmark, seed, "paths")
    file = Path(str(option))
    if not file.is_file():
        raise UsageError(f"paths={option}: give all, benchmark, a number, or a file; there is no such file")
    # a repeated architecture would weigh twice in tau
    listed = listed_archs(file, space, "paths")
    distinct = list(dict.fromkeys(listed))
    if repeated := len(listed) - len(distinct):
        print(f"{repeated:,} rows of {file} repeat an architecture, which is scored once")
    return distinct


class TableScores:
    """Looks paths up by arch string."""

    def __init__(self, space: SearchSpace, accuracy: Mapping[str, float], loss: Mapping[str, float], name: str) -> None:
        self.space, self.accuracy, self.loss, self.name = space, accuracy, loss, name

    def __call__(self, paths: Sequence[ArchPath]) -> Iterable[tuple[ArchPath, float, float]]:
        """(path, accuracy, loss).

        Raises:
            UsageError: the table lacks one of them.
        """
        for path in paths:
            arch = self.space.benchmark_name(path)
            if arch not in self.accuracy:
                raise UsageError(f"{self.name} has no accuracy of {arch}: a search needs those of all networks")
            yield path, self.accuracy[arch], self.loss.get(arch, math.nan)


def read_scores(file: Path, space: SearchSpace, protocol: str) -> TableScores:
    """A table of scores with the columns arch and accuracy, and perhaps loss and bn, of which `protocol` is taken.

    Raises:
        UsageError: no such file, no such columns, no rows of the protocol, or none of the space.
    """
    if not file.is_file():
        raise UsageError(f"scores={file}: there is no such file")
    table = read_csv(file, text=["arch", "path"])
    check_columns(file, table, ["arch", "accuracy"])
    # a table of several protocols: those of one
    if "bn" in table:
        if protocol not in set(table.bn):
            raise unknown("bn", protocol, sorted(set(table.bn)))
        table = table[table.bn == protocol]
    names = spellings(space, table.arch)
    if not names:
        raise UsageError(f"scores={file} holds no network of {space.name}: is search_space= the right one?")
    # networks scored again count with their last score
    rows = table.drop_duplicates("arch", keep="last").set_index("arch")
    columns = {name: _numbers(rows[name], file) for name in ("accuracy", "loss") if name in rows}
    accuracy = {name: columns["accuracy"][arch] for name, arch in names.items()}
    # per cents would rank alike, and be wrong in every figure
    if wrong := next((name for name, value in accuracy.items() if not 0 <= value <= 1), None):
        raise UsageError(f"scores={file}: the accuracy of {wrong} is {accuracy[wrong]:g}: give fractions from 0 to 1")
    loss = {name: columns["loss"][arch] for name, arch in names.items()} if "loss" in columns else {}
    return TableScores(space, accuracy, loss, f"scores={file}")


def _numbers(column: pd.Series, file: Path) -> dict[str, float]:
    values = pd.to_numeric(column, errors="coerce")
    if values.isna().any():
        raise UsageError(f"scores={file}: the {column.name} of {values.index[values.isna()][0]} is not a number")
    return {str(arch): float(value) for arch, value in values.items()}
