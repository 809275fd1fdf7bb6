"""Joins predictions with a benchmark by architecture, and counts all rows of either that do not match."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from src.benchmarks.benchmark import Benchmark
from src.benchmarks.csv_table import check_columns, read_csv
from src.runtime.errors import UsageError
from src.search_spaces.space import SearchSpace

EXAMPLES = 3
"""Architectures named for each count."""
SENTENCES = {
    "unknown": ("predicted architecture is", "predicted architectures are", "not in the benchmark"),
    "missing": ("architecture of the benchmark was", "architectures of the benchmark were", "not scored"),
    "duplicates": ("row of the predictions repeats", "rows of the predictions repeat", "an architecture"),
    "benchmark_duplicates": ("row of the benchmark repeats", "rows of the benchmark repeat", "an earlier one"),
    "outside": ("architecture of the benchmark is", "architectures of the benchmark are", "outside this subset"),
    "invalid": ("row of the benchmark is", "rows of the benchmark are", "of no network of the space"),
}
"""Field of Match -> the words after the number one, after other numbers, and the end of the sentence."""


@dataclass(frozen=True)
class Examples:
    """A number of architectures, and the first few of them."""

    count: int
    names: tuple[str, ...]
    """Distinct, at most EXAMPLES."""

    @classmethod
    def of(cls, names: Iterable[str]) -> Examples:
        """All names counted, the first distinct ones kept."""
        every = list(names)
        return cls(len(every), tuple(dict.fromkeys(every))[:EXAMPLES])


@dataclass(frozen=True)
class Match:
    """The benchmark's accuracies of predictions, and all that has no match; names are as the space formats them."""

    truth: list[float]
    """The benchmark's accuracy of each prediction, in [0, 1]; nan where it has none."""
    networks: list[str]
    """The benchmark's name of each prediction's network, as the space spells it."""
    unknown: Examples
    """Predicted, and not in the benchmark, or there without an accuracy."""
    missing: Examples
    """In the benchmark, and not predicted, not even by another path to the same network."""
    duplicates: Examples
    """Predictions of an architecture that an earlier row predicts."""
    benchmark_duplicates: Examples
    """Rows of the benchmark whose architecture stands in an earlier row; the last one counts."""
    outside: Examples
    """Rows of the benchmark for cells that the chosen subset of NAS-Bench-201 leaves out."""
    invalid: Examples
    """Rows of the benchmark that name no network of the space."""

    def lines(self) -> list[str]:
        """A sentence for each count that is not zero: `12 architectures of the benchmark were not scored, e.g. ...`."""
        lines = []
        for name, mismatch in self.mismatches().items():
            if mismatch.count:
                one, more, end = SENTENCES[name]
                subject = f"{mismatch.count:,} {one if mismatch.count == 1 else more}"
                lines.append(f"{subject} {end}, e.g. {', '.join(mismatch.names)}")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """The counts and examples as JSON has them, without the accuracies."""
        known = sum(not math.isnan(value) for value in self.truth)
        counts = {name: {"count": m.count, "examples": list(m.names)} for name, m in self.mismatches().items()}
        return {"predictions": len(self.truth), "known": known, **counts}

    def mismatches(self) -> dict[str, Examples]:
        """Field -> number and examples, of everything without a match."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Examples)}


def match(archs: Sequence[str], space: SearchSpace, benchmark: Benchmark) -> Match:
    """The benchmark's accuracies of `archs`, in their order; both sides are read by the space, so spelling is free.

    Takes a second for the 15,625 cells of NAS-Bench-201.

    Raises:
        UsageError: a prediction that is not a path of the space, or none that the benchmark knows.
    """
    predicted = [predicted_name(space, arch) for arch in archs]
    distinct = dict.fromkeys(predicted)
    # the benchmark's rows as the space reads them; of repeated ones the last counts
    accuracies: dict[str, float] = {}
    repeated, outside, invalid = [*benchmark.duplicates()], list[str](), list[str]()
    whole = space.whole()
    is_subset = whole.sizes != space.sizes
    for arch, accuracy in benchmark.accuracies().items():
        try:
            name = space.format(space.parse(arch))
        except UsageError:
            (outside if is_subset and whole.reads(arch) else invalid).append(str(arch))
            continue
        if name in accuracies:
            repeated.append(arch)
        accuracies[name] = accuracy
    # a row without an accuracy is as good as none
    known = {name: value for name, value in accuracies.items() if not math.isnan(value)}
    # where the benchmark lists equal networks once, all paths to one share its row
    networks = {name: space.benchmark_name(space.parse(name)) for name in distinct}
    reached = {*networks.values()}
    if not reached & known.keys():
        raise UsageError(
            f"none of the {len(predicted):,} predicted architectures is in the benchmark {benchmark.name}: "
            f"it holds networks of another space, or others of {space.name}"
        )
    return Match(
        truth=[known.get(networks[name], math.nan) for name in predicted],
        networks=[networks[name] for name in predicted],
        unknown=Examples.of(name for name in distinct if networks[name] not in known),
        missing=Examples.of(name for name in known if name not in reached),
        duplicates=Examples.of(name for name, count in Counter(predicted).items() for _ in range(count - 1)),
        benchmark_duplicates=Examples.of(repeated),
        outside=Examples.of(outside),
        invalid=Examples.of(invalid),
    )


def spellings(space: SearchSpace, archs: Iterable[str]) -> dict[str, str]:
    """The space's own spelling of each arch string that it reads -> the spelling in `archs`."""
    spelled = {}
    for arch in archs:
        with suppress(UsageError):
            spelled[space.format(space.parse(arch))] = arch
    return spelled


class Predictions(NamedTuple):
    """The rows of a file of predictions that can be ranked, and those that cannot."""

    frame: pd.DataFrame
    """Columns `arch` and `accuracy`, and whatever else the file holds (loss, path, seed, bn)."""
    not_finite: Examples
    """Rows without a finite accuracy, which are left out; zero-cost proxies give some networks -inf or nan."""


def read_predictions(path: str, space: SearchSpace) -> Predictions:
    """Predictions from a CSV file with the columns `arch` and `accuracy`.

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
    # accuracy was read as text, so that a line that is not a number can be shown as it stands; line 1 is the header
    values = pd.to_numeric(frame["accuracy"], errors="coerce").astype(float)
    is_text = values.isna() & frame["accuracy"].notna() & (frame["accuracy"].str.strip().str.lower() != "nan")
    for row in np.flatnonzero(is_text)[:1]:
        raise UsageError(f"{path}, line {row + 2}: accuracy '{frame['accuracy'][row]}' is not a number")
    names = [predicted_name(space, arch, f"{path}, line {row + 2}: ") for row, arch in enumerate(frame["arch"])]
    frame = frame.assign(arch=names, accuracy=values)
    # what has no finite score has no rank
    is_finite = np.isfinite(values)
    if not is_finite.any():
        raise UsageError(f"{path} holds no prediction with a finite accuracy")
    return Predictions(frame[is_finite].reset_index(drop=True), Examples.of(frame.arch[~is_finite]))


def predicted_name(space: SearchSpace, arch: str, where: str = "") -> str:
    """A predicted arch string as the space formats it.

    Raises:
        UsageError: it is not a path of the space; the message begins with `where`.
    """
    try:
        return space.format(space.parse(arch))
    except UsageError as error:
        raise UsageError(f"{where}prediction '{arch}' is not an architecture of {space.name}: {error}") from None
