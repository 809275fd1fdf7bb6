"""The report on made-up run folders: what it writes, what it refuses, and that a browser opens it."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from src import report
from src.runtime.errors import UsageError
from src.runtime.launch import launch
from src.runtime.result_schemas import ReportResult
from src.runtime.run_folder import METRICS, RESULT
from tests.analysis.report.made_runs import PATHS, make_run, make_sweep, make_variants, set_scores
from tests.conftest import drawing

ROOT = Path(__file__).resolve().parents[1]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

SELECTED = ("improvement", "improvement_to_one", "improvement_and_tau", "seeds_against_seeds")


def report_on(folder: Path, **changes: Any) -> dict[str, Any]:
    settings = {
        "runs": str(folder),
        "out": None,
        "bn": "recalibrate",
        "mix_commits": False,
        "half": None,
        "by": None,
        "ensemble_size": None,
        "wandb": None,
    }
    return asdict(report.run(OmegaConf.create(settings | changes)))


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Four samplers, three seeds, one run still going with a half-written line; and what was reported."""
    root = make_sweep(tmp_path_factory.mktemp("sweep"), ceiling=0.8)
    running = make_run(root / "spos-3", "spos", 3, finished=False)
    with (running / METRICS).open("a") as file:
        file.write("70,7.0,0.3")
    with drawing():
        return root, report_on(root)


@pytest.fixture
def sweep(reported: tuple[Path, dict[str, Any]]) -> Path:
    return reported[0]


def test_everything_is_written(sweep: Path) -> None:
    for name in (
        "accuracy_curves",
        "accuracy_histograms",
        "one_shot_against_truth",
        "count_spread",
        "lemma_1",
        *SELECTED,
    ):
        assert (sweep / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((sweep / "table.csv").read_text().splitlines()))
    assert len(rows) == 4 * 3 * 2 + 1
    assert {row["state"] for row in rows} == {"finished", "running"}
    assert "| Strict fairness | 3 |" in (sweep / "table.md").read_text()


def test_page_needs_no_network(sweep: Path) -> None:
    page = (sweep / "report.html").read_text()
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", re.sub(r"(?s)<script>.*?</script>", "", page))
    assert not [tag for tag in tags if re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", tag)]
    assert page.count("Plotly.newPlot(") >= 6
    assert page.count("plotly.js v") == 1


def test_page_says_what_was_compared(sweep: Path) -> None:
    page = (sweep / "report.html").read_text()
    for words in (
        "mini on digits, 12 epochs",
        "12 finished, 1 running",
        "aaaaaaaaaa (13 runs)",
        "at equal mini-batches",
    ):
        assert words in page
    assert "Unequal cost" in page and "noise ceiling" in page and "The same under running" in page
    for figure in ("Figure 1, top", "Figure 1, bottom", "Figure 4", "Table 3"):
        assert f"FairNAS {figure}" in page
    for figure in ("Figures 4 and 5", "Figures 8 and 9", "Figure 3", "Figure 10", "Table 2"):
        assert f"Inter-choice weights, {figure}" in page


def test_result_is_plain_and_complete(reported: tuple[Path, dict[str, Any]]) -> None:
    root, result = reported
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["runs"] == {"finished": 12, "unfinished": 1}
    assert result["page"] == (root / "report.html").as_posix()
    (comparison,) = result["comparisons"]
    assert [row["method"] for row in comparison["methods"]] == ["strict_fair", "spos", "ef", "ef_scaled"]
    fair = comparison["methods"][0]
    assert fair["architectures"] == len(PATHS)
    assert 0 < fair["improvement_at_10"] < 1 and fair["gap"] > 0 and 0 <= fair["precision_at_10"] <= 1
    assert comparison["baselines"][0]["improvement_at_10"] > 0
    assert [row["method"] for row in comparison["self_consistency"]] == ["strict_fair", "spos", "ef", "ef_scaled"]
    assert all(len(row["pairs"]) == 3 and 0 < row["tau"]["mean"] < 1 for row in comparison["self_consistency"])


def test_terminal_table_fits_80_columns(reported: tuple[Path, dict[str, Any]]) -> None:
    comparison = reported[1]["comparisons"][0]
    long = comparison | {
        "methods": [row | {"method": "strict_fair, split at epoch 125"} for row in comparison["methods"]]
    }
    for shown in (reported[1], reported[1] | {"comparisons": [long]}):
        text = on_80_columns(shown)
        assert "…" not in text and "Strict fairness" in text and "counting multiply-adds" in text
        assert max(map(len, text.splitlines())) <= 80


def on_80_columns(result: dict[str, Any]) -> str:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(*report.tables(ReportResult(**result)))
    return console.export_text()


def test_another_protocol_can_lead_and_the_report_go_elsewhere(
    reported: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    root, main = reported
    other = report_on(root, out=str(tmp_path / "elsewhere"), bn="running")
    assert (tmp_path / "elsewhere" / "report.html").exists()
    assert other["comparisons"][0]["methods"][0]["tau"] < main["comparisons"][0]["methods"][0]["tau"]


def test_reporting_again_finds_the_same(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0)
    first, page = report_on(tmp_path), (tmp_path / "report.html").read_text()
    assert report_on(tmp_path) == first
    assert (tmp_path / "report.html").read_text() == page


def test_spaces_get_tables_of_their_own(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0)
    make_run(tmp_path / "b", "spos", 0, choices__search_space="other", finished=False)
    result = report_on(tmp_path)
    assert [comparison["title"] for comparison in result["comparisons"]] == [
        "mini on digits, 12 epochs",
        "other on digits, 12 epochs",
    ]
    assert (tmp_path / "figures" / "other-on-digits-12-epochs_accuracy_curves.png").exists()


def test_a_run_without_ground_truth_is_reported_without_ranking(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", "spos", 0)
    result = json.loads((run / RESULT).read_text())
    result["ranking"] = {}
    (run / RESULT).write_text(json.dumps(result))
    scores = (run / "scores.csv").read_text().splitlines()
    blank = scores[0].split(",").index("truth")
    kept = [",".join("" if i == blank else cell for i, cell in enumerate(line.split(","))) for line in scores[1:]]
    (run / "scores.csv").write_text("\n".join([scores[0], *kept]) + "\n")
    (comparison,) = report_on(tmp_path)["comparisons"]
    assert comparison["methods"][0]["tau"] is None and comparison["methods"][0]["accuracy"] > 0.5
    for name in ("one_shot_against_truth", *SELECTED):
        assert not (tmp_path / "figures" / f"{name}.png").exists()
    assert comparison["self_consistency"] == []


def test_inter_choice_weights_are_reported_while_the_sweep_runs(tmp_path: Path) -> None:
    make_variants(tmp_path, ("none", "bias_2"), seeds=2)
    make_run(tmp_path / "older", "spos", 2)
    make_run(tmp_path / "split", "spos", 0, inter_choice="split_70")
    make_run(tmp_path / "going", "spos", 1, finished=False, inter_choice="split_70")
    (comparison,) = report_on(tmp_path)["comparisons"]
    rows = {row["method"]: row for row in comparison["methods"]}
    assert {method: (row["seeds"], row["running"], row["reference"]) for method, row in rows.items()} == {
        "spos": (3, 0, None),
        "spos, bias D=2": (2, 0, "spos"),
        "spos, split at 70 %": (1, 1, "spos"),
    }
    assert rows["spos"]["tau_difference"] is None and rows["spos, split at 70 %"]["tau_difference"] is not None
    assert [row["method"] for row in comparison["self_consistency"]] == ["spos", "spos, bias D=2"]
    table = (tmp_path / "table.md").read_text()
    assert "| SPOS, split at 70 % | 1 (+1 running) |" in table and "τ minus no inter-choice weights" in table
    assert "SPOS; SPOS, bias D=2; SPOS, split at 70 %" in (tmp_path / "report.html").read_text()


def test_nothing_finished_and_too_few_for_a_curve_are_reported(tmp_path: Path) -> None:
    make_run(tmp_path / "going" / "a", "spos", 0, finished=False, inter_choice="bias")
    report_on(tmp_path / "going")
    set_scores(make_run(tmp_path / "few" / "a", "spos", 0), [0.1, 0.2, 0.3], [0.7, 0.8, 0.9])
    report_on(tmp_path / "few")
    for folder in ("going", "few"):
        assert not any((tmp_path / folder / "figures" / f"{name}.png").exists() for name in SELECTED)


def test_mixed_commits_need_asking_for(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0)
    make_run(tmp_path / "b", "spos", 1, commit="b" * 40, dirty=True)
    with pytest.raises(UsageError, match="mix_commits=true"):
        report_on(tmp_path)
    assert not (tmp_path / "report.html").exists()
    report_on(tmp_path, mix_commits=True)
    page = (tmp_path / "report.html").read_text()
    assert "different commits" in page and "uncommitted changes" in page


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"runs": None}, "runs=<folder>"),
        ({"runs": "/nowhere/at/all"}, "no such folder"),
        ({"bn": "runing"}, "running"),
        ({"mix_commits": "perhaps"}, "true or false"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        report_on(tmp_path, **changes)
    assert "\n" not in str(refused.value)


def console_lines(page: Path, profile: Path) -> list[str]:
    """What a headless Chromium writes to its console on opening the page, whatever the level."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    options += ["--virtual-time-budget=5000", f"--user-data-dir={profile}"]
    done = subprocess.run(
        [str(BROWSER), *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    lines = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return lines if "main-svg" in done.stdout or "plotly" not in page.read_text() else [*lines, "no chart was drawn"]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_page_opens_in_chromium_without_a_console_message(sweep: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text("<script>throw new Error('seen')</script>")
    assert "seen" in "".join(console_lines(broken, tmp_path / "profile"))
    assert console_lines(sweep / "report.html", tmp_path / "profile") == []


def test_command_prints_the_table_and_stores_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "sweep" / "a", "spos", 0)
    assert launch("report", report.main, [f"runs={tmp_path / 'sweep'}", f"hydra.run.dir={tmp_path / 'report'}"]) == 0
    done = capsys.readouterr()
    assert done.err == ""
    assert "SPOS" in done.out and "report.html" in done.out
    assert json.loads((tmp_path / "report" / RESULT).read_text())["command"] == "report"


def test_command_refuses_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "src.report", f"runs={tmp_path}", f"hydra.run.dir={tmp_path / 'report'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "no training run" in done.stderr
    assert not (tmp_path / "report").exists()


def test_report_works_without_torch() -> None:
    program = (
        "import sys, src.report; from src.analysis.report import outputs, terminal; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
