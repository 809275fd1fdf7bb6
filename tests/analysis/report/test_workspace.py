"""The W&B workspace, read back from its JSON; the server is never asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from src.analysis.report import workspace
from src.analysis.report.workspace import Pictures, as_json, logged_metrics, make_workspace
from src.runtime.loggers import AXES
from src.runtime.run_folder import METRIC_COLUMNS
from src.searching.archive import GENERATION_COLUMNS
from src.training.gradient_variance import COLUMNS as VARIANCE
from src.training.step import ARCHITECTURE_COLUMNS
from tests.analysis.report.made_runs import make_sweep
from tests.test_bad_input import check_one_line

pytest.importorskip("wandb_workspaces")
RANK = {f"rank/{name}" for name in workspace.RANKING} | {"fairness/final_count_spread"}
IMPORTANCE = {"importance/probability/0", "importance/smoothing", "importance/expected_macs"}
TRAINED = {*METRIC_COLUMNS, *VARIANCE, *ARCHITECTURE_COLUMNS, *RANK, *IMPORTANCE}


def panels(logged: set[str]) -> dict[str, list[dict[str, Any]]]:
    """{section: its panels} of a workspace, from the JSON that the server takes."""
    spec = json.loads(as_json(make_workspace("team", "fairpath", "w", logged)))["spec"]["section"]
    return {section["name"]: section["panels"] for section in spec["panelBankConfig"]["sections"]}


def test_sections_panels_and_axis_of_trainings() -> None:
    found = panels(TRAINED)
    assert list(found) == list(workspace.TRAINING)
    lines = [panel["config"] for each in found.values() for panel in each if "Line" in panel["viewType"]]
    assert len(lines) >= 10 and {line["xAxis"] for line in lines} == {"train/backward_passes"}
    # every pattern is of metrics that are logged
    for line in lines:
        assert any(re.fullmatch(line["metricRegex"], name) for name in TRAINED), line
    (bars,) = (panel for panel in found["Ranking against counting and ceiling"] if "best count's" in str(panel))
    assert bars["config"]["metrics"] == ["rank/ceiling", "rank/count", "rank/tau_recalibrate"]


def test_a_search_has_its_own_axis() -> None:
    found = panels({f"search/{name}" for name in GENERATION_COLUMNS})
    assert list(found) == ["Search"]
    lines = [panel["config"] for panel in found["Search"] if "Line" in panel["viewType"]]
    assert {line["xAxis"] for line in lines} == {AXES["search"][0]} and len(lines) == 4


def test_sections_without_a_metric_are_left_out(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "strict_fair"), seeds=1)
    logged = logged_metrics([path.parent for path in tmp_path.rglob("config.yaml")])
    assert {"train/loss", "supernet/accuracy_mean", "rank/count"} <= logged
    assert list(panels(logged)) == list(workspace.TRAINING)[:3]


def test_runs_are_grouped_by_method_and_it_is_read_back() -> None:
    made = make_workspace("team", "fairpath", "w", TRAINED)
    grouping = json.loads(as_json(made))["spec"]["section"]["runSets"][0]["grouping"]
    assert [key["name"] for key in grouping] == ["choices.value.sampler", "group"]
    from wandb_workspaces.workspaces.internal import View

    again = type(made)._from_model(View.model_validate_json(as_json(made)))
    assert [section.name for section in again.sections] == list(workspace.TRAINING)
    pictures = [panel for panel in again.sections[1].panels if hasattr(panel, "media_keys")]
    named = [panel for panel in workspace.TRAINING[again.sections[1].name] if isinstance(panel, Pictures)]
    assert [tuple(panel.media_keys) for panel in pictures] == [panel.names for panel in named]


@pytest.mark.parametrize(
    ("place", "names"), [("fairpath", "<entity>/<project>"), ("team/fairpath", "wandb login")], ids=["form", "no key"]
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, place: str, names: str) -> None:
    """In a process of its own: W&B keeps settings of the process."""
    make_sweep(tmp_path / "runs", ("spos",), seeds=1)
    command = [sys.executable, "-m", "src.report", f"runs={tmp_path / 'runs'}", f"wandb={place}"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, f"hydra.run.dir={tmp_path / 'report'}"],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    check_one_line(done.stderr, names)
    assert not (tmp_path / "runs" / "report.html").exists()
