"""The report on made-up run folders: what it writes, what it refuses, and that a browser opens it."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from src import report
from src.errors import UsageError
from src.run_folder import METRICS, RESULT
from tests.analysis.made_runs import PATHS, make_run, make_sweep

ROOT = Path(__file__).resolve().parents[1]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def report_on(folder: Path, **changes: Any) -> dict[str, Any]:
    settings = {"runs": str(folder), "out": None, "bn": "recalibrate", "mix_commits": False}
    return report.run(OmegaConf.create(settings | changes))


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Four samplers, three seeds, one run still going with a half-written line; and what was reported."""
    root = make_sweep(tmp_path_factory.mktemp("sweep"), ceiling=0.8)
    running = make_run(root / "spos-3", "spos", 3, finished=False)
    with (running / METRICS).open("a") as file:
        file.write("70,7.0,0.3")
    return root, report_on(root)


@pytest.fixture
def sweep(reported: tuple[Path, dict[str, Any]]) -> Path:
    return reported[0]


def test_everything_is_written(sweep: Path) -> None:
    for name in ("accuracy_curves", "accuracy_histograms", "one_shot_against_truth", "count_spread", "lemma_1"):
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


def test_result_is_plain_and_complete(reported: tuple[Path, dict[str, Any]]) -> None:
    root, result = reported
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["runs"] == {"finished": 12, "unfinished": 1}
    assert result["page"] == (root / "report.html").as_posix()
    (comparison,) = result["comparisons"]
    assert [row["method"] for row in comparison["methods"]] == ["strict_fair", "spos", "ef", "ef_scaled"]
    assert comparison["methods"][0]["architectures"] == len(PATHS)


def test_terminal_table_fits_80_columns(reported: tuple[Path, dict[str, Any]]) -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(*report.tables(reported[1]))
    text = console.export_text()
    assert "…" not in text and "Strict fairness" in text and "counting multiply-adds" in text


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
    assert not (tmp_path / "figures" / "one_shot_against_truth.png").exists()


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


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "src.report", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_command_prints_the_table_and_stores_its_result(tmp_path: Path) -> None:
    make_run(tmp_path / "sweep" / "a", "spos", 0)
    done = command(f"runs={tmp_path / 'sweep'}", f"hydra.run.dir={tmp_path / 'report'}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "SPOS" in done.stdout and "report.html" in done.stdout
    assert json.loads((tmp_path / "report" / RESULT).read_text())["command"] == "report"


def test_command_refuses_in_one_line(tmp_path: Path) -> None:
    done = command(f"runs={tmp_path}", f"hydra.run.dir={tmp_path / 'report'}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "no training run" in done.stderr
    assert not (tmp_path / "report").exists()


def test_report_works_without_torch() -> None:
    program = "import sys, src.report, src.analysis.outputs, src.analysis.terminal; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
