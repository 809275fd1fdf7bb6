"""What a benchmark offers: the accuracies that networks reach when trained alone, by arch string."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from src.errors import UsageError


class Benchmark(ABC):
    """Ground truth of a search space; all accuracies in [0, 1]."""

    name: str

    @abstractmethod
    def accuracies(self) -> dict[str, float]:
        """Mean accuracy of each network by arch string."""

    @abstractmethod
    def runs(self) -> dict[str, list[float]]:
        """The single training runs behind the means, for the noise ceiling; empty lists where they are unknown."""


def existing(path: str, option: str) -> Path:
    """The path of a benchmark file.

    Raises:
        UsageError: there is none; it names the option that sets the path.
    """
    found = Path(path)
    if not found.is_file():
        raise UsageError(f"{option}={path}: there is no such benchmark file")
    return found
