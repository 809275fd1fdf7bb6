"""Predictions held against a benchmark: which architectures both know, and a count of all that do not match."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from src.benchmarks.benchmark import Benchmark
from src.benchmarks.csv_table import check_columns, read_csv
from src.runtime.errors import UsageError
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace

EXAMPLES = 3
SENTENCES = {
    "unknown": ("predicted architecture is", "predicted architectures are", "not in the benchmark"),
    "missing": ("architecture of the benchmark was", "architectures of the benchmark were", "not scored"),
    "duplicates": ("row of the predictions repeats", "rows of the predictions repeat", "an architecture"),
    "benchmark_duplicates": ("row of the benchmark repeats", "rows of the benchmark repeat", "an earlier one"),
    "outside": ("architecture of the benchmark is", "architectures of the benchmark are", "outside this subset"),
    "invalid": ("row of the benchmark is", "rows of the benchmark are", "of no network of the space"),
}
"""For each count the words after one, after more, and the end of the sentence."""


@dataclass(frozen=True)
class Found:
    """How many there are, and the first few."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """What a benchmark says of predicted architectures; architectures are named as the space formats them."""

    truth: list[float]
    """The benchmark's accuracy of each prediction, in [0, 1]; nan where it has none."""
    unknown: Found
    """Predicted, and not in the benchmark, or there without an accuracy."""
    missing: Found
    """In the benchmark, and not predicted."""
    duplicates: Found
    """Predictions of an architecture that an earlier row predicts."""
    benchmark_duplicates: Found
    """Rows of the benchmark whose architecture stands in an earlier row; the last one counts."""
    outside: Found
    """Rows of the benchmark for cells that the chosen subset of NAS-Bench-201 leaves out."""
    invalid: Found
    """Rows of the benchmark that name no network of the space."""

    def lines(self) -> list[str]:
        """A sentence for each count that is not zero: `12 architectures of the benchmark were not scored, e.g. ...`."""
        return [_sentence(name, found) for name, found in self._counts().items() if found.count]

    def as_dict(self) -> dict[str, Any]:
        """The counts and examples as JSON has them, without the accuracies."""
        known = sum(not math.isnan(value) for value in self.truth)
        counts = {name: {"count": f.count, "examples": list(f.examples)} for name, f in self._counts().items()}
        return {"predictions": len(self.truth), "known": known, **counts}

    def _counts(self) -> dict[str, Found]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Found)}


def match(archs: Sequence[str], space: SearchSpace, benchmark: Benchmark) -> Match:
    """The benchmark's accuracies of `archs`, in their order; both sides are read by the space, so spelling is free.

    Takes a second for the 15,625 cells of NAS-Bench-201.

    Raises:
        UsageError: a prediction that is no path of the space, or none that the benchmark knows.
    """
    asked = [_name(space, arch) for arch in archs]
    rows = _rows(space, benchmark)
    asked_once = dict.fromkeys(asked)
    known = {name: value for name, value in rows.accuracies.items() if not math.isnan(value)}
    if not any(name in known for name in asked_once):
        raise UsageError(
            f"none of the {len(asked):,} predicted architectures is in the benchmark {benchmark.name}: "
            f"it holds networks of another space, or others of {space.name}"
        )
    return Match(
        truth=[known.get(name, math.nan) for name in asked],
        unknown=_found(name for name in asked_once if name not in known),
        missing=_found(name for name in known if name not in asked_once),
        duplicates=_found(_repeated(asked)),
        benchmark_duplicates=_found([*benchmark.duplicates(), *rows.duplicates]),
        outside=_found(rows.outside),
        invalid=_found(rows.invalid),
    )


def spellings(space: SearchSpace, archs: Iterable[str]) -> dict[str, str]:
    """The space's own spelling of each arch string that it reads -> the spelling given."""
    found = {}
    for arch in archs:
        with suppress(UsageError):
            found[space.format(space.parse(arch))] = arch
    return found


def read_predictions(path: str, space: SearchSpace) -> pd.DataFrame:
    """A CSV of predictions: `arch` and `accuracy`, and whatever else it holds (loss, path, seed, bn).

    Archs may be spelled in any way that the space reads; they come back as it formats them.

    Raises:
        UsageError: no such file, no such columns, no rows, or a row that is wrong, named by its line.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"{path}: there is no such file of predictions")
    frame = read_csv(file, text=["arch", "accuracy", "path"])
    check_columns(file, frame, ["arch", "accuracy"])
    if frame.empty:
        raise UsageError(f"{path} holds no predictions: there is no row below its header")
    values = pd.to_numeric(frame["accuracy"], errors="coerce").astype(float)
    for row in np.flatnonzero(~np.isfinite(values))[:1]:
        raise UsageError(f"{path}, line {row + 2}: accuracy '{frame['accuracy'][row]}' is no number")
    names = [_name(space, arch, f"{path}, line {row + 2}: ") for row, arch in enumerate(frame["arch"])]
    return frame.assign(arch=names, accuracy=values)


class _Rows(NamedTuple):
    """A benchmark as a space reads it."""

    accuracies: dict[str, float]
    duplicates: list[str]
    """Archs that are another spelling of an earlier row's."""
    outside: list[str]
    invalid: list[str]


def _rows(space: SearchSpace, benchmark: Benchmark) -> _Rows:
    rows = _Rows({}, [], [], [])
    is_outside = _outside(space)
    for arch, accuracy in benchmark.accuracies().items():
        try:
            name = space.format(space.parse(arch))
        except UsageError:
            (rows.outside if is_outside(arch) else rows.invalid).append(str(arch))
            continue
        if name in rows.accuracies:
            rows.duplicates.append(arch)
        rows.accuracies[name] = accuracy
    return rows


def _outside(space: SearchSpace) -> Callable[[str], bool]:
    """Whether an arch that the space does not read is of the whole space that it is a subset of."""
    whole = NasBench201() if isinstance(space, NasBench201) else space
    if whole.sizes == space.sizes:
        return lambda arch: False

    def is_outside(arch: str) -> bool:
        try:
            whole.parse(arch)
        except UsageError:
            return False
        return True

    return is_outside


def _name(space: SearchSpace, arch: str, where: str = "") -> str:
    """The arch as the space formats it.

    Raises:
        UsageError: it is no path of the space.
    """
    try:
        return space.format(space.parse(arch))
    except UsageError as error:
        raise UsageError(f"{where}prediction '{arch}' is no architecture of {space.name}: {error}") from None


def _repeated(names: Sequence[str]) -> list[str]:
    """Each name as often as it stands there beyond the first time."""
    return [name for name, count in Counter(names).items() for _ in range(count - 1)]


def _found(names: Iterable[str]) -> Found:
    """The examples are distinct."""
    every = list(names)
    return Found(len(every), tuple(dict.fromkeys(every))[:EXAMPLES])


def _sentence(name: str, found: Found) -> str:
    one, more, end = SENTENCES[name]
    return f"{found.count:,} {one if found.count == 1 else more} {end}, e.g. {', '.join(found.examples)}"
