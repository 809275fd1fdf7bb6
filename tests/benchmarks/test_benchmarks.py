"""Ground truth from tables: read right, refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from src.analysis.ranking import kendall, split_half
from src.benchmarks.nas_bench_macro import NasBenchMacro
from src.benchmarks.table import Table
from src.errors import UsageError
from src.search_spaces.mini import Mini

MINI = "experiments/ground_truth_mini/table.csv"


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_a_table_is_scaled_and_keeps_leading_zeros(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "arch,accuracy,run_0,run_1\n00,90,89,91\n01,50,40,60\n")
    table = Table("t", path, run_prefix="run_", scale=100)
    assert table.accuracies() == {"00": 0.9, "01": 0.5}
    assert table.runs() == {"00": [0.89, 0.91], "01": [0.4, 0.6]}


@pytest.mark.parametrize(
    ("text", "names"),
    [("arch,acc\n0,1\n", "no column 'accuracy'"), ("arch,accuracy\n0,high\n", "numbers"), ("", "no CSV table")],
)
def test_a_wrong_table_is_refused(text: str, names: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=names):
        Table("t", written(tmp_path / "t.csv", text)).accuracies()


@pytest.mark.parametrize("text", ["[]", "{}", "not json", json.dumps({"0": {"acc": 1}})])
def test_another_json_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="NAS-Bench-Macro"):
        NasBenchMacro(written(tmp_path / "t.json", text)).accuracies()


def test_the_official_macro_file(shared_data: Path) -> None:
    benchmark = NasBenchMacro(str(shared_data / "nas-bench-macro_cifar10.json"))
    accuracies = benchmark.accuracies()
    assert len(accuracies) == 6561
    assert round(100 * max(accuracies.values()), 3) == 93.127 == round(100 * accuracies["22212202"], 3)
    assert all(len(runs) == 3 for runs in benchmark.runs().values())


def test_the_201_table(shared_data: Path) -> None:
    path = str(shared_data / "nas_bench_201.csv")
    values = pd.Series(Table("201", path, accuracy="cifar10_test", scale=100).accuracies())
    assert len(values) == 15625
    assert round(100 * values.mean(), 2) == 87.06
    assert round(100 * values.max(), 2) == 94.37
    assert (values == 0.1).sum() == 341


def test_the_ground_truth_of_mini_can_be_trusted_and_is_more_than_a_count_of_parameters() -> None:
    space, table = Mini(), Table("mini", MINI, run_prefix="run_")
    truth = table.accuracies()
    assert set(truth) == {space.format(path) for path in space.paths()}
    repeated = split_half(list(table.runs().values()))
    params = [space.costs(space.parse(arch)).params for arch in truth]
    by_params = kendall(params, list(truth.values()), resamples=10).value
    assert repeated >= 0.75
    assert by_params <= 0.55
    assert by_params <= repeated - 0.15
