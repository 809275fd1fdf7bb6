"""What a benchmark offers: the accuracies that networks reach when trained alone, by arch string."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.analysis.ranking import split_half, tau_b
from src.errors import UsageError


class Ceiling(NamedTuple):
    """How well a benchmark agrees with itself: the tau that no ranking can be expected to exceed by much."""

    value: float
    """Kendall's tau, in [-1, 1]."""
    kind: str
    """What was held against what: `run against run` or `validation against test`."""


class Benchmark(ABC):
    """Ground truth of a search space; all accuracies in [0, 1]."""

    name: str
    bar: float | None = None
    """An accuracy in [0, 1] above which networks are also ranked among themselves."""

    @abstractmethod
    def accuracies(self) -> dict[str, float]:
        """Mean accuracy of each network by arch string."""

    @abstractmethod
    def runs(self) -> dict[str, list[float]]:
        """The single training runs behind the means, for the noise ceiling; empty lists where they are unknown."""

    def validation(self) -> dict[str, float]:
        """Mean accuracy on validation images by arch string; empty where the benchmark has none."""
        return {}

    def params(self) -> dict[str, float]:
        """The benchmark's own parameter counts by arch string; empty where it has none."""
        return {}

    def duplicates(self) -> list[str]:
        """The arch string of every row that repeats an earlier one; of such rows the last counts."""
        return []

    def ceiling(self, archs: Sequence[str]) -> Ceiling | None:
        """How well the truth of these networks agrees with itself; None where nothing can tell.

        Runs tell best, as they differ by the seed alone. Networks of fewer than two runs are then left out, and of
        the others as many runs are taken as all of them have.
        """
        distinct = list(dict.fromkeys(archs))
        runs, validation, test = self.runs(), self.validation(), self.accuracies()
        value = _runs_agree([runs.get(arch, []) for arch in distinct])
        if not math.isnan(value):
            return Ceiling(value, "run against run")
        value = _sets_agree([(validation.get(arch, math.nan), test.get(arch, math.nan)) for arch in distinct])
        return None if math.isnan(value) else Ceiling(value, "validation against test")


def existing(path: str, option: str) -> Path:
    """The path of a benchmark file.

    Raises:
        UsageError: there is none; it names the option that sets the path.
    """
    found = Path(path)
    if not found.is_file():
        raise UsageError(f"{option}={path}: there is no such benchmark file")
    return found


def _runs_agree(runs: Sequence[Sequence[float]]) -> float:
    """Mean tau between halves of the runs; nan with fewer than two networks of two runs, or where all are equal."""
    known = [[value for value in values if not math.isnan(value)] for values in runs]
    repeated = [values for values in known if len(values) > 1]
    if len(repeated) < 2:
        return math.nan
    common = min(map(len, repeated))
    return split_half([values[:common] for values in repeated])


def _sets_agree(pairs: Sequence[tuple[float, float]]) -> float:
    """Tau between validation and test accuracies; nan with fewer than two known pairs, or where all are equal."""
    known = np.array([pair for pair in pairs if not any(map(math.isnan, pair))], dtype=float)
    return tau_b(known[:, 0], known[:, 1]) if len(known) > 1 else math.nan
