"""A benchmark from a CSV file with one row per network."""

from __future__ import annotations

from functools import cached_property

import pandas as pd

from src.benchmarks.benchmark import Benchmark, existing
from src.benchmarks.csv_table import check_columns, check_numbers, read_csv


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
        validation: str | None = None,
        params: str | None = None,
        params_scale: float = 1.0,
    ) -> None:
        """Name the columns of the file; nothing is read yet.

        Args:
            name: the benchmark's name in reports.
            path: the CSV file.
            arch: column of arch strings.
            accuracy: column of mean test accuracies.
            run_prefix: start of the names of the columns of single runs.
            scale: the table's value of a perfect accuracy, 1 or 100.
            validation: column of mean accuracies on validation images.
            params: column of parameter counts.
            params_scale: parameters per unit of that column, 1 or 1e6.
        """
        self.name = name
        self.path, self.arch, self.accuracy = existing(path, "benchmark.path"), arch, accuracy
        self.run_prefix, self.scale = run_prefix, scale
        self.validation_column, self.params_column, self.params_scale = validation, params, params_scale

    def accuracies(self) -> dict[str, float]:
        """Mean accuracy in [0, 1] by arch string."""
        return self._by_arch(self._frame[self.accuracy] / self.scale)

    def validation(self) -> dict[str, float]:
        """Mean accuracy on validation images in [0, 1] by arch string."""
        column = self.validation_column
        return {} if column is None else self._by_arch(self._frame[column] / self.scale)

    def params(self) -> dict[str, float]:
        """Parameter counts by arch string."""
        column = self.params_column
        return {} if column is None else self._by_arch(self._frame[column] * self.params_scale)

    def runs(self) -> dict[str, list[float]]:
        """Accuracies in [0, 1] of the single runs by arch string."""
        values = (self._frame[self._run_columns(self._frame)] / self.scale).to_numpy().tolist()
        return dict(zip(self._frame[self.arch], values, strict=True))

    def duplicates(self) -> list[str]:
        """The arch string of every row that repeats an earlier one."""
        return self._frame[self.arch][self._frame[self.arch].duplicated()].tolist()

    def _by_arch(self, values: pd.Series) -> dict[str, float]:
        return dict(zip(self._frame[self.arch], values.astype(float), strict=True))

    def _run_columns(self, frame: pd.DataFrame) -> list[str]:
        return [str(column) for column in frame if self.run_prefix and str(column).startswith(self.run_prefix)]

    @cached_property
    def _frame(self) -> pd.DataFrame:
        frame = read_csv(self.path, text=[self.arch])
        # numbers are checked here, once: a text in an accuracy column would surface deep in a ranking
        numbers = [name for name in (self.accuracy, self.validation_column, self.params_column) if name is not None]
        check_columns(self.path, frame, [self.arch, *numbers])
        check_numbers(self.path, frame, [*numbers, *self._run_columns(frame)])
        return frame
