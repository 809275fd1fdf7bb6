"""The base class of benchmarks: accuracies that networks reach when trained alone, by arch string."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from src.runtime.errors import UsageError


class Benchmark(ABC):
    """Ground truth of a search space; all accuracies in [0, 1]."""

    name: str
    bar: float | None = None
    """Accuracy in [0, 1]; networks above it are also ranked among themselves."""
    second_kind: str = "validation against test"
    """What `validation` and `accuracies` are, held against each other where there are no runs."""

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


def existing(path: str, option: str) -> Path:
    """The path of a benchmark file.

    Raises:
        UsageError: there is none; it names the option that sets the path.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"{option}={path}: there is no such benchmark file")
    return file
