"""A benchmark from a CSV file with one row per network."""

from __future__ import annotations

from functools import cached_property

import pandas as pd

from src.benchmarks.benchmark import Benchmark, existing
from src.errors import UsageError


class Table(Benchmark):
    """Columns `arch` and `accuracy` by default; the columns that start with `run_prefix` are single training runs."""

    def __init__(
        self,
        name: str,
        path: str,
        arch: str = "arch",
        accuracy: str = "accuracy",
        run_prefix: str | None = None,
        scale: float = 1.0,
    ) -> None:
        """`scale` is the table's value of a perfect accuracy: 1 or 100."""
        self.name = name
        self.path, self.arch, self.accuracy = existing(path, "benchmark.path"), arch, accuracy
        self.run_prefix, self.scale = run_prefix, scale

    def accuracies(self) -> dict[str, float]:
        """Mean accuracy in [0, 1] by arch string."""
        values = self._frame[self.accuracy] / self.scale
        return dict(zip(self._frame[self.arch], values.astype(float), strict=True))

    def runs(self) -> dict[str, list[float]]:
        """Accuracies in [0, 1] of the single runs by arch string."""
        prefix = self.run_prefix
        columns = [column for column in self._frame if prefix is not None and str(column).startswith(prefix)]
        values = (self._frame[columns] / self.scale).to_numpy().tolist()
        return dict(zip(self._frame[self.arch], values, strict=True))

    @cached_property
    def _frame(self) -> pd.DataFrame:
        try:
            frame = pd.read_csv(self.path, dtype={self.arch: str})
        except (ValueError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.path} is no CSV table: {str(error).splitlines()[0]}") from None
        for column in (self.arch, self.accuracy):
            if column not in frame:
                raise UsageError(f"{self.path} has no column '{column}': it has {', '.join(map(str, frame))}")
        if not pd.api.types.is_numeric_dtype(frame[self.accuracy]):
            raise UsageError(f"{self.path}: the column '{self.accuracy}' holds more than numbers")
        return frame
