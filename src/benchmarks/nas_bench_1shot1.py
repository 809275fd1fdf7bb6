"""NAS-Bench-101's cells for the three spaces of NAS-Bench-1Shot1, as a CSV table (Ying et al. 2019).

One row for each cell, in any order; a table may hold a part of the cells, and cells of no space:

- `hash`: NAS-Bench-101's module_hash.
- `matrix`: module_adjacency, `1` or `0` for each pair of vertices, the upper triangle by rows.
- `ops`: module_operations without input and output: 3 conv3x3-bn-relu, 1 conv1x1-bn-relu, p maxpool3x3.
- `params`: trainable_parameters.
- `val4`, `val12`, `val36`, `val108`: final_validation_accuracy after so many epochs, and `test108` the
  final_test_accuracy after 108, in [0, 1]; the means over a cell's runs, or of one run. Not all are needed.

With the package `nasbench` these are, for `api.NASBench(path)` of nasbench_full.tfrecord, the two dictionaries that
`get_metrics_from_hash(module_hash)` returns.
"""

from __future__ import annotations

from functools import cached_property

from src.benchmarks.benchmark import Benchmark, existing
from src.benchmarks.csv_table import check_columns, check_numbers, read_csv
from src.runtime.errors import UsageError, unknown
from src.search_spaces.cell_101 import HASH, Cell101, hash_of

TRUTHS = ("val108", "test108", "val36", "val12", "val4")


class NasBench1Shot1(Benchmark):
    """The cells of a table that has no single runs; `data` is the column of accuracies."""

    name = "nas_bench_1shot1"
    second_kind = "36 epochs against more"

    def __init__(self, path: str, data: str = "val108") -> None:
        if data not in TRUTHS:
            raise unknown("benchmark.data", data, TRUTHS)
        self.path, self.data = existing(path, "benchmark.path"), data

    def accuracies(self) -> dict[str, float]:
        """Accuracy in [0, 1] by cell."""
        return self._columns[self.data]

    def runs(self) -> dict[str, list[float]]:
        """Unknown: a table has one number for each cell and length of training."""
        return {cell: [] for cell in self._columns[self.data]}

    def validation(self) -> dict[str, float]:
        """Validation accuracy after 36 epochs beside that after 108: a floor for what any ranking can reach."""
        return {} if self.data == "val36" else self._columns.get("val36", {})

    def params(self) -> dict[str, float]:
        """Parameter counts by cell."""
        return self._columns["params"]

    @cached_property
    def _columns(self) -> dict[str, dict[str, float]]:
        """Column -> cell -> number.

        Raises:
            UsageError: a column is missing, or a row's hash is not that of its matrix and operations.
        """
        frame = read_csv(self.path, text=["hash", "matrix", "ops"])
        wanted = ["params", self.data]
        check_columns(self.path, frame, ["hash", "matrix", "ops", *wanted])
        columns = [*wanted, *({"val36"} & set(frame) - {self.data})]
        check_numbers(self.path, frame, columns)
        # the hash says whether matrix and operations are read as they were meant
        cells = [Cell101(ops, matrix) for ops, matrix in zip(frame.ops, frame.matrix, strict=True)]
        for row, (cell, key) in enumerate(zip(cells, frame.hash, strict=True), 2):
            if not HASH.fullmatch(str(key)) or _hash_or_none(cell) != key:
                raise UsageError(
                    f"{self.path}, line {row}: hash '{key}' is not NAS-Bench-101's of operations '{cell.ops}' and "
                    f"matrix '{cell.matrix}'"
                )
        names = list(map(str, cells))
        return {name: dict(zip(names, frame[name].astype(float), strict=True)) for name in columns}


def _hash_or_none(cell: Cell101) -> str | None:
    """The hash of a cell, if its matrix has the size of its operations and no other letters are among them."""
    try:
        return hash_of(cell)
    except (KeyError, ValueError, TypeError):
        return None
