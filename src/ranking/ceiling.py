"""The noise ceiling of a benchmark: how well its accuracies agree with themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from src.analysis.ranking import split_half, tau_b
from src.benchmarks.benchmark import Benchmark


class Ceiling(NamedTuple):
    """Agreement of a benchmark with itself: the tau that no ranking can be expected to exceed by much."""

    value: float
    """Kendall's tau, in [-1, 1]."""
    kind: str
    """What was held against what: `run against run` or `validation against test`, see Benchmark.second_kind."""


def noise_ceiling(benchmark: Benchmark, archs: Sequence[str]) -> Ceiling | None:
    """Noise ceiling of these networks' accuracies; None where the benchmark holds one value each.

    Runs tell best, as they differ by the seed alone. Networks of fewer than two runs are then left out, and of
    the others as many runs are taken as all of them have.
    """
    distinct = list(dict.fromkeys(archs))
    runs, validation, test = benchmark.runs(), benchmark.validation(), benchmark.accuracies()
    value = _agreement_of_runs([runs.get(arch, []) for arch in distinct])
    if not math.isnan(value):
        return Ceiling(value, "run against run")
    value = _agreement_of_sets([(validation.get(arch, math.nan), test.get(arch, math.nan)) for arch in distinct])
    return None if math.isnan(value) else Ceiling(value, benchmark.second_kind)


def _agreement_of_runs(runs: Sequence[Sequence[float]]) -> float:
    """Mean tau between halves of the runs; nan with fewer than two networks of two runs, or where all are equal."""
    known = [[value for value in values if not math.isnan(value)] for values in runs]
    repeated = [values for values in known if len(values) > 1]
    if len(repeated) < 2:
        return math.nan
    common = min(map(len, repeated))
    return split_half([values[:common] for values in repeated])


def _agreement_of_sets(pairs: Sequence[tuple[float, float]]) -> float:
    """Tau between validation and test accuracies; nan with fewer than two known pairs, or where all are equal."""
    known = np.array([pair for pair in pairs if not any(map(math.isnan, pair))], dtype=float)
    return tau_b(known[:, 0], known[:, 1]) if len(known) > 1 else math.nan
