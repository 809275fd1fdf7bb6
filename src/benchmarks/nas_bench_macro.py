"""NAS-Bench-Macro: 6,561 networks on CIFAR-10, three runs each (Su et al. 2021)."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from src.benchmarks.benchmark import Benchmark, existing
from src.runtime.errors import UsageError


class NasBenchMacro(Benchmark):
    """The official JSON: arch string -> test_acc of three runs, mean_acc, std, params, flops; accuracies in percent."""

    name = "nas_bench_macro"

    def __init__(self, path: str) -> None:
        self.path = existing(path, "benchmark.path")

    def accuracies(self) -> dict[str, float]:
        """Mean test accuracy in [0, 1] by arch string."""
        return {arch: entry["mean_acc"] / 100 for arch, entry in self._entries.items()}

    def runs(self) -> dict[str, list[float]]:
        """Test accuracies in [0, 1] of the three runs by arch string."""
        return {arch: [value / 100 for value in entry["test_acc"]] for arch, entry in self._entries.items()}

    def params(self) -> dict[str, float]:
        """Parameter counts by arch string."""
        return {arch: float(entry["params"]) for arch, entry in self._entries.items()}

    @cached_property
    def _entries(self) -> dict[str, dict[str, Any]]:
        try:
            entries = json.loads(self.path.read_text())
            for entry in entries.values() or [None]:  # None: an empty file is refused too
                entry["mean_acc"], entry["test_acc"][0], entry["params"]
        except (ValueError, AttributeError, KeyError, TypeError, IndexError):
            raise UsageError(f"{self.path} is not NAS-Bench-Macro's JSON: arch -> test_acc, mean_acc, ...") from None
        return entries
