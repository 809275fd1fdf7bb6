"""W&B offline: a run that was stopped and goes on has its whole curve in the new record, and no warning begins it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pytorch_lightning.loggers import WandbLogger

from src import search, train
from src.runtime.launch import launch
from src.runtime.loggers import AXES
from src.runtime.run_folder import GENERATIONS, METRIC_COLUMNS, METRICS, RESULT
from src.standalone.retraining.metrics import COLUMNS as RETRAINED
from src.training.gradient_variance import COLUMNS as VARIANCE

Logged = list[tuple[int, dict[str, Any]]]
SHORT = ["validation.paths=2", "ranking.paths=2", "ranking.images=50", "benchmark=none", "logger=wandb"]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    """(step, values) of all that is logged."""
    calls: Logged = []

    def note(self: WandbLogger, metrics: dict[str, Any], step: int) -> None:
        calls.append((step, dict(metrics)))

    monkeypatch.setattr(WandbLogger, "log_metrics", note)
    monkeypatch.setattr(WandbLogger, "log_image", lambda *_: None)  # tests draw no pictures
    return calls


def rows(table: Path) -> list[dict[str, float]]:
    with table.open() as lines:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(lines)]


def test_a_resumed_training_logs_its_whole_curve(
    tmp_path: Path, logged: Logged, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert launch("train", train.main, [*SHORT, "budget.steps=4", f"hydra.run.dir={run}"]) == 0
    # rows beyond the checkpoint, as a kill leaves them, are not of the run that goes on
    with (run / METRICS).open("a") as table:
        table.write("9" + "," * (len(rows(run / METRICS)[0]) + 3) + "\n")
    logged.clear()
    assert launch("train", train.main, [f"resume={run}", "budget.steps=8"]) == 0
    curve = [(step, values) for step, values in logged if "train/loss" in values]
    assert [step for step, _ in curve] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [values for _, values in curve] == [pytest.approx(row) for row in rows(run / METRICS)]
    assert "anonymous" not in capfd.readouterr().err


def test_a_run_that_was_killed_while_it_ranked_logs_its_curve_too(tmp_path: Path, logged: Logged) -> None:
    run = tmp_path / "run"
    assert launch("train", train.main, [*SHORT, "budget.steps=4", f"hydra.run.dir={run}"]) == 0
    (run / RESULT).unlink()
    logged.clear()
    assert launch("train", train.main, [f"resume={run}"]) == 0
    assert [step for step, values in logged if "train/loss" in values] == [1, 2, 3, 4]


def test_a_resumed_search_logs_its_whole_curve(tmp_path: Path, logged: Logged) -> None:
    folder = tmp_path / "search"
    asked = ["evaluator=truth", "benchmark=mini", "searcher.population=4", "logger=wandb", f"hydra.run.dir={folder}"]
    assert launch("search", search.main, [*asked, "budget.models=8"]) == 0
    first = len(rows(folder / GENERATIONS))
    logged.clear()
    assert launch("search", search.main, [f"resume={folder}", "budget.models=16"]) == 0
    expected = rows(folder / GENERATIONS)
    assert len(expected) > first
    assert [step for step, _ in logged] == [int(row["generation"]) for row in expected]
    for (_, values), row in zip(logged, expected, strict=True):
        del row["generation"]
        assert values == pytest.approx({f"search/{key}": value for key, value in row.items()}, abs=1e-3)


@pytest.mark.parametrize(
    ("command", "columns"), [("train", METRIC_COLUMNS), ("train", VARIANCE), ("retrain", RETRAINED)]
)
def test_every_section_of_a_table_has_the_axis_of_its_command(command: str, columns: tuple[str, ...]) -> None:
    axis, sections = AXES[command]
    assert {name.partition("/")[0] for name in columns if "/" in name} <= set(sections)
    assert command == "train" or axis in columns


def records(folder: Path) -> list[dict[str, Any]]:
    """All records of a run folder's only W&B run, read as W&B's own viewer reads them."""
    (run,) = (folder / "wandb").glob("offline-run-*")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_charts_are_drawn_over_backward_passes_and_runs_sorted_by_command(tmp_path: Path) -> None:
    """In a process of its own: W&B keeps settings of the process."""
    command = [sys.executable, "-m", "src.train", *SHORT, "budget.steps=3", f"hydra.run.dir={tmp_path / 'run'}"]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True)
    found = records(tmp_path / "run")
    (run,) = (record["run"] for record in found if record["type"] == "run")
    assert run["job_type"] == "train" and run["run_group"] == "strict_fair-mini"
    metrics = [record["metric"] for record in found if record["type"] == "metric"]
    axes = {metric["glob_name"]: metric.get("step_metric") for metric in metrics if "glob_name" in metric}
    for section in ("train", "supernet", "fairness", "rank"):
        assert axes[f"{section}/*"] == "train/backward_passes"
    # every section that is logged has the axis, and every row the axis' value
    history = [record["history"]["item"] for record in found if record["type"] == "history"]
    logged = {name.partition("/")[0] for row in history for name in row if "/" in name and not name.startswith("_")}
    assert {f"{section}/*" for section in logged - {"trainer"}} <= axes.keys()  # Lightning's own count of steps
    assert [row["train/backward_passes"] for row in history if "train/loss" in row] == [3, 6, 9]
