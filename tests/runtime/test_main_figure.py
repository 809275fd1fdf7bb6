"""What a command returns to Hydra: the number that a sweeper maximises."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback

from src import search, train
from src.runtime.launch import launch
from src.runtime.main_figure import main_figure
from tests.analysis.report.made_runs import make_run

HERE = "tests.runtime.test_main_figure"


class Returned(Callback):
    """Keeps what jobs return."""

    values: ClassVar[list[Any]] = []

    def on_job_end(self, config: Any, job_return: JobReturn, **_: Any) -> None:
        self.values.append(job_return.return_value)


@pytest.fixture
def returned() -> list[Any]:
    Returned.values.clear()
    return Returned.values


KEEP = [f"+hydra.callbacks.keep._target_={HERE}.Returned"]
SHORT = ["validation.paths=2", "ranking.images=50", "logger=csv", "budget.steps=2"]


def test_a_sweep_of_trainings_returns_tau_and_without_truth_the_accuracy(tmp_path: Path, returned: list[Any]) -> None:
    asked = ["-m", *SHORT, *KEEP, "ranking.paths=8", "benchmark=mini,none", f"hydra.sweep.dir={tmp_path}"]
    assert launch("train", train.main, [*asked, "hydra.sweep.subdir=${hydra.job.num}"]) == 0
    results = [json.loads((tmp_path / job / "result.json").read_text()) for job in "01"]
    tau = results[0]["ranking"]["recalibrate"]["loss"]["all"]["tau"]["value"]
    assert returned == [tau, results[1]["scores"]["recalibrate"]["accuracy_mean"]]


def test_a_job_that_fails_returns_the_worst_there_is(tmp_path: Path, returned: list[Any]) -> None:
    asked = ["-m", *SHORT, *KEEP, "ranking.paths=8", "optimizer.lr=1e30,0.05", f"hydra.sweep.dir={tmp_path}"]
    assert launch("train", train.main, [*asked, "hydra.sweep.subdir=${hydra.job.num}"]) == 1
    assert returned[0] == -1 < returned[1] and len(returned) == 2


def test_a_search_returns_its_share_of_the_true_front(tmp_path: Path, returned: list[Any]) -> None:
    asked = ["evaluator=truth", "benchmark=mini", "searcher.population=4", "budget.models=8", "logger=csv", *KEEP]
    assert launch("search", search.main, [*asked, f"hydra.run.dir={tmp_path / 'search'}"]) == 0
    assert returned == [json.loads((tmp_path / "search" / "result.json").read_text())["true_hypervolume"]]
    assert 0 < returned[0] <= 1


def test_commands_and_folders_without_such_a_figure_return_nan(tmp_path: Path) -> None:
    assert math.isnan(main_figure(make_run(tmp_path / "run", "spos", 0), "report"))
    assert math.isnan(main_figure(make_run(tmp_path / "begun", "spos", 0, finished=False), "train"))
    (damaged := make_run(tmp_path / "damaged", "spos", 0)) and (damaged / "result.json").write_text("{")
    assert math.isnan(main_figure(damaged, "train"))
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "result.json").write_text('{"command": "retrain", "experiment": "standalone_ranking"}')
    assert math.isnan(main_figure(tmp_path / "study", "retrain"))


def test_the_sweep_of_wandb_names_a_metric_that_is_logged_and_keys_that_exist(tmp_path: Path) -> None:
    sweep = yaml.safe_load((Path(__file__).parents[2] / "experiments" / "wandb_sweep.yaml").read_text())
    assert sweep["metric"]["name"] == "rank/tau_recalibrate" and sweep["program"] == "src.train"
    keys = [f"{key}={values.get('min') or values['values'][0]}" for key, values in sweep["parameters"].items()]
    assert launch("train", train.main, [*SHORT, *keys, "ranking.paths=2", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
