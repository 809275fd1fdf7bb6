"""Ground truth from tables: read right, refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from src.analysis.ranking import kendall, split_half
from src.benchmarks.nas_bench_201 import NasBench201
from src.benchmarks.nas_bench_macro import NasBenchMacro
from src.benchmarks.table import Table
from src.ranking.ceiling import noise_ceiling
from src.runtime.errors import UsageError
from src.search_spaces.mini import Mini
from src.search_spaces.mini_cell import MiniCell


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def configured(name: str, **settings: object) -> Table:
    """As a run makes it: from the configuration file."""
    found = OmegaConf.merge(OmegaConf.load(f"conf/benchmark/{name}.yaml"), settings)
    return instantiate({key: value for key, value in found.items() if key != "holds_for"})


def test_a_table_is_scaled_and_keeps_leading_zeros(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "arch,accuracy,run_0,run_1\n00,90,89,91\n01,50,40,60\n")
    table = Table("t", path, run_prefix="run_", scale=100)
    assert table.accuracies() == {"00": 0.9, "01": 0.5}
    assert table.runs() == {"00": [0.89, 0.91], "01": [0.4, 0.6]}


def test_a_table_may_have_validation_and_parameters(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "arch,accuracy,val,size\n00,90,80,1.5\n01,50,55,0.25\n")
    table = configured("table", path=path, scale=100, validation="val", params="size", params_scale=1e6)
    assert table.validation() == {"00": 0.8, "01": 0.55}
    assert table.params() == {"00": 1_500_000, "01": 250_000}
    plain = configured("table", path=path)
    assert plain.validation() == plain.params() == {}


def test_rows_that_repeat_an_arch_are_told(tmp_path: Path) -> None:
    table = Table("t", written(tmp_path / "t.csv", "arch,accuracy\n00,1\n01,0\n00,0.5\n00,0.25\n"))
    assert table.duplicates() == ["00", "00"]
    assert table.accuracies() == {"00": 0.25, "01": 0}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("arch,acc\n0,1\n", "no column 'accuracy'"),
        ("architecture,accuracy,val\n0,1,1\n", "no column 'arch'"),
        ("arch,accuracy\n0,1\n", "no column 'val'"),
        ("arch,accuracy,val\n0,high,1\n", "'accuracy' holds more than numbers"),
        ("arch,accuracy,val\n0,1,high\n", "'val' holds more than numbers"),
        ("arch,accuracy,val,run_0\n0,1,1,high\n", "'run_0' holds more than numbers"),
        ("arch,accuracy,val\n0,1,1,1\n", "not a CSV table"),
        ("", "not a CSV table"),
    ],
)
def test_a_wrong_table_is_refused(text: str, names: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=names) as error:
        Table("t", written(tmp_path / "t.csv", text), validation="val", run_prefix="run_").accuracies()
    assert len(str(error.value).splitlines()) == 1


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
    benchmark = configured("nas_bench_201", path=str(shared_data / "nas_bench_201.csv"))
    values = pd.Series(benchmark.accuracies())
    assert len(values) == 15625
    assert round(100 * values.mean(), 2) == 87.06
    assert round(100 * values.max(), 2) == 94.37
    assert (values == 0.1).sum() == 341
    assert round(100 * pd.Series(benchmark.validation()).mean(), 2) == 83.67
    assert sorted(benchmark.params().values())[::15624] == pytest.approx([73_000, 1_532_000])
    assert benchmark.duplicates() == []


@pytest.mark.parametrize(("data", "mean", "best"), [("cifar100", 61.39, 73.51), ("imagenet16", 33.57, 47.31)])
def test_the_201_table_holds_three_data_sets(data: str, mean: float, best: float, shared_data: Path) -> None:
    benchmark = configured("nas_bench_201", path=str(shared_data / "nas_bench_201.csv"), data=data)
    values = 100 * pd.Series(benchmark.accuracies())
    assert (round(values.mean(), 2), round(values.max(), 2)) == (mean, best)
    assert benchmark.validation() == {}
    assert noise_ceiling(benchmark, list(values.index)) is None


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(UsageError, match="cifar10, cifar100, imagenet16; did you mean cifar100"):
        NasBench201("anywhere.csv", data="cifar1000")


def test_ceilings_of_the_public_tables(shared_data: Path) -> None:
    macro = NasBenchMacro(str(shared_data / "nas-bench-macro_cifar10.json"))
    ceiling = noise_ceiling(macro, list(macro.accuracies()))
    assert ceiling is not None
    assert ceiling == (pytest.approx(0.8964, abs=1e-4), "run against run")
    cells = NasBench201(str(shared_data / "nas_bench_201.csv"))
    assert noise_ceiling(cells, list(cells.accuracies())) == (
        pytest.approx(0.8919, abs=1e-4),
        "validation against test",
    )


def test_parameters_of_macro_are_counts(shared_data: Path) -> None:
    params = NasBenchMacro(str(shared_data / "nas-bench-macro_cifar10.json")).params()
    assert len(params) == 6561
    assert params["02012100"] == 890_666


@pytest.mark.parametrize(
    ("text", "ceiling"),
    [
        ("00,1,1,1\n01,2,2,2\n02,3,3,3\n", (1.0, "run against run")),
        ("00,1,1,1\n01,2,2,\n02,3,3,\n03,4,4,\n", (1.0, "validation against test")),
        ("00,1,1,1\n01,2,2,2\n02,3,,0\n", (1.0, "run against run")),
        ("00,1,5,5\n01,2,5,5\n02,3,5,5\n", (1.0, "validation against test")),
        ("00,1,1,\n", None),
        ("00,5,1,\n01,5,2,\n", None),
    ],
)
def test_ceilings_of_scarce_tables(text: str, ceiling: tuple[float, str] | None, tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "arch,val,run_0,run_1\n" + text)
    table = Table("t", path, accuracy="val", validation="val", run_prefix="run_")
    archs = [*table.accuracies()]
    assert noise_ceiling(table, [*archs, *archs, "unheard of"]) == ceiling


def test_half_of_the_networks_may_have_more_runs_than_the_others(tmp_path: Path) -> None:
    rows = ["00,1,1,1,1", "01,2,2,2,9", "02,3,3,3,", "03,4,4,4,"]
    path = written(tmp_path / "t.csv", "\n".join(["arch,accuracy,run_0,run_1,run_2", *rows]))
    assert noise_ceiling(Table("t", path, run_prefix="run_"), ["00", "01", "02", "03"]) == (1.0, "run against run")


def test_the_ground_truth_of_mini_cell_can_be_trusted_and_is_more_than_a_count() -> None:
    space, table = MiniCell(), configured("mini_cell")
    truth = table.accuracies()
    paths = {arch: space.parse(arch) for arch in truth}
    # distinct connected cells, and all those of convolutions alone
    assert all(space.is_connected(path) and space.format(path) == arch for arch, path in paths.items())
    assert len({space.canonical(path) for path in paths.values()}) == len(truth) == 564
    assert sum(space.subsets(list(paths.values()))["convolutions only"]) >= 64
    repeated = split_half(list(table.runs().values()))
    assert noise_ceiling(table, list(truth)) == (repeated, "run against run")
    assert repeated >= 0.75
    costs = [space.costs(path) for path in paths.values()]
    counts = {"params": [c.params for c in costs], "macs": [c.macs for c in costs]}
    counts["live convolutions"] = [space.counts(path)["live_convolutions"] for path in paths.values()]
    for name, values in counts.items():
        assert kendall(values, list(truth.values()), resamples=10).value <= repeated - 0.15, name
    assert table.params() == dict(zip(truth, counts["params"], strict=True))


def test_the_ground_truth_of_mini_can_be_trusted_and_is_more_than_a_count_of_parameters() -> None:
    space, table = Mini(), configured("mini")
    truth = table.accuracies()
    assert set(truth) == {space.format(path) for path in space.paths()}
    repeated = split_half(list(table.runs().values()))
    params = [space.costs(space.parse(arch)).params for arch in truth]
    by_params = kendall(params, list(truth.values()), resamples=10).value
    assert table.params() == dict(zip(truth, params, strict=True))
    assert noise_ceiling(table, list(truth)) == (repeated, "run against run")
    assert repeated >= 0.75
    assert by_params <= 0.55
    assert by_params <= repeated - 0.15
