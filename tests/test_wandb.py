"""W&B offline: a run that was stopped and goes on has its whole curve in the new record, and no warning begins it."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.sdk.wandb_summary import Summary

from src import retrain, search, train
from src.runtime.launch import launch
from src.runtime.loggers import AXES, WANDB_ID
from src.runtime.records import WandbRecord
from src.runtime.run_folder import GENERATIONS, METRIC_COLUMNS, METRICS, RESULT
from src.standalone.retraining.metrics import COLUMNS as RETRAINED
from src.training.gradient_variance import COLUMNS as VARIANCE
from tests.analysis.report.made_runs import make_sweep

ROOT = Path(__file__).parents[1]
Logged = list[tuple[int, dict[str, Any]]]
SHORT = ["validation.paths=2", "ranking.paths=2", "ranking.images=50", "benchmark=none", "logger=wandb"]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Logged:
    """(step, values) of all that is logged."""
    calls: Logged = []

    def note(self: WandbRecord, metrics: dict[str, Any], step: int) -> None:
        calls.append((step, dict(metrics)))

    monkeypatch.setattr(WandbRecord, "log_metrics", note)
    for name in ("log_picture", "log_rows", "log_files"):  # of what is shown at the end, not now
        monkeypatch.setattr(WandbRecord, name, lambda *_: None)
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
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = records(tmp_path / "run")
    (run,) = (record["run"] for record in found if record["type"] == "run")
    assert run["job_type"] == "train" and run["run_group"] == "strict_fair-mini"
    metrics = [record["metric"] for record in found if record["type"] == "metric"]
    axes = {metric["glob_name"]: metric.get("step_metric") for metric in metrics if "glob_name" in metric}
    assert "*" not in axes  # Lightning's: a viewer would take either
    for section in ("train", "supernet", "fairness", "rank"):
        assert axes[f"{section}/*"] == "train/backward_passes"
    # every section that is logged has the axis, and every row the axis' value
    history = [record["history"]["item"] for record in found if record["type"] == "history"]
    logged = {name.partition("/")[0] for row in history for name in row if "/" in name and not name.startswith("_")}
    assert {
        f"{section}/*" for section in logged - {"trainer", "tables"}
    } <= axes.keys()  # Lightning's own count of steps
    assert [row["train/backward_passes"] for row in history if "train/loss" in row] == [3, 6, 9]
    # the scores as a table, and what the run made as artifacts; offline their metadata name what they are made from
    assert any(row.get("tables/scores._type") == "table-file" for row in history)
    made = {each["name"]: each for each in (record["artifact"] for record in found if record["type"] == "artifact")}
    supernet, scores = f"supernet-{run['run_id']}", f"scores-{run['run_id']}"
    assert {supernet, scores} <= made.keys()
    assert json.loads(made[scores]["metadata"]) == {"parents": [supernet]}
    names = {entry["path"] for entry in made[supernet]["manifest"]["contents"]}
    assert {"config.yaml", "last.ckpt"} <= names
    # copies wait for `wandb sync` in the run's own folder
    assert list((tmp_path / "run" / "wandb" / "artifacts" / "staging").iterdir())


def test_a_network_names_the_search_and_the_supernet_that_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, tuple[str, list[str], list[str]]] = {}

    def note(self: WandbRecord, kind: str, files: list[Path], parents: list[str]) -> None:
        made[kind] = (str(self.version), [path.name for path in files], parents)

    monkeypatch.setattr(WandbRecord, "log_metrics", lambda *_, **__: None)
    for name in ("log_picture", "log_rows"):
        monkeypatch.setattr(WandbRecord, name, lambda *_: None)
    monkeypatch.setattr(WandbRecord, "log_files", note)
    run, found, network = (tmp_path / name for name in ("run", "search", "network"))
    assert launch("train", train.main, [*SHORT, "budget.steps=3", f"hydra.run.dir={run}"]) == 0
    asked = [f"run={run}", "searcher=random_search", "budget.models=4", "images=50", f"hydra.run.dir={found}"]
    assert launch("search", search.main, asked) == 0
    chosen = [f"arch={found / 'selected.csv'}", "pick=0", f"run={run}", "budget.steps=2", f"hydra.run.dir={network}"]
    assert launch("retrain", retrain.main, chosen) == 0
    supernet, archive = (f"{kind}-{made[kind][0]}" for kind in ("supernet", "archive"))
    assert made["scores"][2] == [supernet] and made["archive"][2] == [supernet]
    assert made["network"][2] == [supernet, archive] and len({each[0] for each in made.values()}) == 3
    assert {"front.csv", "selected.csv"} <= set(made["archive"][1]) and "weights.pt" in made["network"][1]


class Online:
    """What W&B tells of a run that it has rows of already."""

    def __init__(self) -> None:
        self.resumed, self.id = True, "abc"
        self.summary = Summary(lambda: {"trainer/global_step": 6, "train/loss": 0.5})
        self.rows: list[dict[str, float]] = []
        self.used: list[str] = []

    def log(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def define_metric(self, *_: Any, **__: Any) -> None:
        pass

    def use_artifact(self, name: str) -> None:
        if name.startswith("supernet-lost"):
            raise wandb.errors.CommError(f"artifact '{name}' not found")
        self.used.append(name)

    def log_artifact(self, artifact: Any) -> Any:
        self.used.append(f"made {artifact.name}")
        return self

    def wait(self) -> None:
        self.used.append("and waited")


def test_online_no_row_is_logged_twice_and_lineage_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Online()
    monkeypatch.setattr(WandbRecord, "experiment", run)
    monkeypatch.setattr(wandb, "init", lambda **_: run)
    monkeypatch.setattr(WandbRecord, "log_hyperparams", lambda *_: None)
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    record = WandbRecord(tmp_path, AXES["train"][0], AXES["train"][1], offline=False, project="p", id="abc")
    record.begin({})
    # steps 5 and 6 are there from before it was killed; a ranking at step 6 is not
    for step in (5, 6, 7):
        record.log_metrics({"train/loss": 0.1 * step}, step)
    record.log_metrics({"rank/tau": 0.6}, 6)
    assert [row["trainer/global_step"] for row in run.rows] == [7, 6]
    (tmp_path / "scores.csv").write_text("arch\n")
    # a supernet that was never uploaded is no reason to stop
    record.log_files("scores", [tmp_path / "scores.csv"], ["supernet-abc", "supernet-lost"])
    assert run.used == ["supernet-abc:latest", "made scores-abc", "and waited"]
    assert "no lineage from supernet-lost" in capsys.readouterr().out


def test_copies_of_artifacts_stay_where_the_user_wants_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WandbRecord, "experiment", Online())
    monkeypatch.setattr(wandb, "init", lambda **_: Online())
    monkeypatch.setattr(WandbRecord, "log_hyperparams", lambda *_: None)
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("FAIRPATH_WANDB_DATA_DIR", "")
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        WandbRecord(folder, "x", (), offline=True, project="p", id="i").begin({})
    assert os.environ["WANDB_DATA_DIR"] == str(tmp_path / "mine")
    # by default each job of a sweep has its own
    monkeypatch.setenv("WANDB_DATA_DIR", "")
    for folder in folders:
        WandbRecord(folder, "x", (), offline=True, project="p", id="i").begin({})
        assert os.environ["WANDB_DATA_DIR"] == str(folder / "wandb")


def test_a_report_is_a_run_with_its_page_and_what_it_is_made_from(tmp_path: Path) -> None:
    """In a process of its own: W&B keeps settings of the process."""
    make_sweep(tmp_path / "runs", ("spos",), seeds=2)
    for number, run in enumerate(sorted(path.parent for path in (tmp_path / "runs").rglob("config.yaml"))):
        (run / WANDB_ID).write_text(f"id{number}")
    command = [sys.executable, "-m", "src.report", f"runs={tmp_path / 'runs'}", "logger=wandb"]
    subprocess.run([*command, f"hydra.run.dir={tmp_path / 'report'}"], cwd=ROOT, check=True, capture_output=True)
    found = records(tmp_path / "report")
    (run,) = (record["run"] for record in found if record["type"] == "run")
    (artifact,) = (e["artifact"] for e in found if e["type"] == "artifact" and e["artifact"]["name"].startswith("rep"))
    assert run["job_type"] == "report"
    assert json.loads(artifact["metadata"]) == {"parents": ["scores-id0", "scores-id1"]}
    shown = {key: value for e in found if e["type"] == "history" for key, value in e["history"]["item"].items()}
    assert shown["report._type"] == "html-file" and shown["tables/report._type"] == "table-file"
    assert any(key.startswith("figures/") for key in shown)
