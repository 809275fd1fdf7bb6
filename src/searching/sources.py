"""Where the scores of a search come from: a trained supernet, a table of its scores, or the truth."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from src.analysis.runs import read_json
from src.benchmarks.benchmark import Benchmark
from src.benchmarks.join import spellings
from src.errors import UsageError, unknown
from src.evaluator import Evaluator
from src.search_spaces.space import Input, SearchSpace
from src.supernet.path import Path as SupernetPath

SOURCE = "source.json"
"""File of a search's folder: what scored its networks, by which a search that goes on knows it again."""


class Scores(Protocol):
    """Paths to what they reach: accuracy in [0, 1], and loss in nats, nan where it is not known."""

    def __call__(self, paths: Sequence[SupernetPath]) -> Iterable[tuple[SupernetPath, float, float]]:
        """(path, accuracy, loss) of each of the distinct paths, in any order."""


@dataclass(frozen=True)
class Source:
    """What a search is about, and who scores its paths."""

    space: SearchSpace
    given: Input
    """What the networks read: their costs are stated for it."""
    scores: Scores
    truth: Mapping[str, float]
    """Accuracies alone, by the space's arch strings; empty where no benchmark is known."""
    about: Mapping[str, Any]
    """Facts for the record, by which a search that goes on knows its source again."""


class SupernetScores:
    """Scores with the supernet's weights, each distinct prefix of a generation once."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    def __call__(self, paths: Sequence[SupernetPath]) -> Iterable[tuple[SupernetPath, float, float]]:
        """(path, accuracy, loss) as they are scored."""
        for path, score in self.evaluator.scores(paths):
            yield path, score.accuracy, score.loss


class TableScores:
    """Looks paths up by arch string."""

    def __init__(self, space: SearchSpace, accuracy: Mapping[str, float], loss: Mapping[str, float], name: str) -> None:
        self.space, self.accuracy, self.loss, self.name = space, accuracy, loss, name

    def __call__(self, paths: Sequence[SupernetPath]) -> Iterable[tuple[SupernetPath, float, float]]:
        """(path, accuracy, loss).

        Raises:
            UsageError: the table lacks one of them.
        """
        for path in paths:
            arch = self.space.format(path)
            if arch not in self.accuracy:
                raise UsageError(f"{self.name} has no accuracy of {arch}: a search needs those of all networks")
            yield path, self.accuracy[arch], self.loss.get(arch, math.nan)


def truth_of(space: SearchSpace, benchmark: Benchmark | None) -> dict[str, float]:
    """A benchmark's accuracies by the space's own arch strings."""
    known = benchmark.accuracies() if benchmark else {}
    return {name: known[arch] for name, arch in spellings(space, known).items() if not math.isnan(known[arch])}


def read_scores(file: Path, space: SearchSpace, protocol: str) -> TableScores:
    """A table of scores with the columns arch and accuracy, and perhaps loss and bn, of which `protocol` is taken.

    Raises:
        UsageError: no such file, no such columns, no rows of the protocol, or none of the space.
    """
    if not file.is_file():
        raise UsageError(f"scores={file}: there is no such file")
    try:
        table = pd.read_csv(file, dtype={"arch": str, "path": str})
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeError) as error:
        raise UsageError(f"scores={file} is no table: {str(error).splitlines()[0]}") from None
    if not {"arch", "accuracy"} <= set(table.columns):
        raise UsageError(f"scores={file} needs the columns arch and accuracy: it has {', '.join(table.columns)}")
    if "bn" in table:
        if protocol not in set(table.bn):
            raise unknown("bn", protocol, sorted(set(table.bn)))
        table = table[table.bn == protocol]
    names = spellings(space, table.arch)
    if not names:
        raise UsageError(f"scores={file} holds no network of {space.name}: is search_space= the right one?")
    rows = table.drop_duplicates("arch", keep="last").set_index("arch")
    columns = {name: _numbers(rows[name], file) for name in ("accuracy", "loss") if name in rows}
    accuracy = {name: columns["accuracy"][arch] for name, arch in names.items()}
    if wrong := next((name for name, value in accuracy.items() if not 0 <= value <= 1), None):
        raise UsageError(f"scores={file}: the accuracy of {wrong} is {accuracy[wrong]:g}: give fractions from 0 to 1")
    loss = {name: columns["loss"][arch] for name, arch in names.items()} if "loss" in columns else {}
    return TableScores(space, accuracy, loss, f"scores={file}")


def _numbers(column: pd.Series, file: Path) -> dict[str, float]:
    values = pd.to_numeric(column, errors="coerce")
    if values.isna().any():
        raise UsageError(f"scores={file}: the {column.name} of {values.index[values.isna()][0]} is no number")
    return {str(arch): float(value) for arch, value in values.items()}


def digest(values: Mapping[str, float]) -> str:
    """Of a table, in any order."""
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:16]


def check_source(folder: Path, about: Mapping[str, Any]) -> None:
    """Refuse to go on with scores, weights or latencies that are not those a search was begun with.

    Raises:
        UsageError: it names what differs.
    """
    stored = read_json(folder / SOURCE)
    if stored is None:
        return
    for key in sorted({*stored, *about}):
        if stored.get(key) != about.get(key):
            raise UsageError(
                f"{folder} was begun with other scores: {key} was {stored.get(key)} and is {about.get(key)}: "
                "start a new search"
            )
