"""NAS-Bench-201 as a CSV table: 15,625 cells, mean accuracies after 200 epochs (Dong and Yang 2020)."""

from __future__ import annotations

from src.benchmarks.table import Table
from src.runtime.errors import unknown

COLUMNS = {"cifar10": "cifar10_test", "cifar100": "cifar100_test", "imagenet16": "imagenet16_120_test"}
"""The column of test accuracies, in percent, of each data set."""
VALIDATION = {"cifar10": "cifar10_valid"}
"""The same for validation images: of networks trained on the other half of CIFAR-10's training images."""

GOOD = {"cifar10": 0.85}
"""The bar above which cells are also ranked among themselves."""


class NasBench201(Table):
    """Columns `arch`, `params_m` (millions), `cifar10_valid` and a column of test accuracies for each data set.

    Single runs are not in the table; `nats_bench` has them.
    """

    def __init__(self, path: str, data: str = "cifar10") -> None:
        if data not in list(COLUMNS):
            raise unknown("benchmark.data", data, COLUMNS)
        super().__init__(
            "nas_bench_201",
            path,
            accuracy=COLUMNS[data],
            scale=100,
            validation=VALIDATION.get(data),
            params="params_m",
            params_scale=1e6,
        )
        self.data = data
        self.bar = GOOD.get(data)
