import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from hydra._internal.hydra import Hydra

BENCHMARKS = ("nas_bench_201.csv", "nas-bench-macro_cifar10.json")


@pytest.fixture(scope="session", autouse=True)
def _one_composition() -> Iterator[None]:
    """Hydra composes twice, first to read `hydra.mode`, which no test sets: half the time of a refused command."""
    with mock.patch.object(Hydra, "get_mode", return_value=None):
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
