import os
from pathlib import Path

import pytest

BENCHMARKS = ("nas_bench_201.csv", "nas-bench-macro_cifar10.json")
SHARED_DATA = os.environ.get("FAIRPATH_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of benchmark tables: FAIRPATH_SHARED_DATA, or ../shared/data beside the checkout."""
    folder = Path(SHARED_DATA)
    missing = [name for name in BENCHMARKS if not (folder / name).is_file()]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"{folder} lacks {', '.join(missing)}: CI must not skip the golden tests")
    if missing:
        pytest.skip(f"{folder} lacks {', '.join(missing)}")
    return folder
