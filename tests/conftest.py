import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from unittest import mock

import pytest
from hydra._internal.hydra import Hydra
from matplotlib.figure import Figure

BENCHMARKS = ("nas_bench_201.csv", "nas-bench-macro_cifar10.json", "nas_bench_101_subset.csv")


@pytest.fixture(scope="session", autouse=True)
def _one_composition() -> Iterator[None]:
    """Hydra composes twice, first to read `hydra.mode`, which no test sets: half the time of a refused command."""
    with mock.patch.object(Hydra, "get_mode", return_value=None):
        yield


DRAW = Figure.savefig


@pytest.fixture(scope="session", autouse=True)
def _empty_pictures() -> Iterator[None]:
    """Files that only begin like a PNG: drawing would take half the time of a short run or a report."""

    def write(self: Figure, file: BinaryIO, **_: object) -> None:
        file.write(b"\x89PNG")

    with mock.patch.object(Figure, "savefig", write):
        yield


@contextmanager
def drawing() -> Iterator[None]:
    """Within the block pictures are drawn, for tests that look at them."""
    with mock.patch.object(Figure, "savefig", DRAW):
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public benchmark tables that FAIRPATH_DATA names; tests that need them skip without it."""
    named = os.environ.get("FAIRPATH_DATA")
    if not named:
        pytest.skip("FAIRPATH_DATA=<folder> names no benchmark tables")
    missing = [name for name in BENCHMARKS if not (Path(named) / name).is_file()]
    if missing:
        pytest.fail(f"FAIRPATH_DATA={named} lacks {', '.join(missing)}")
    return Path(named)
