"""The report of a comparison of searchers, from real searches."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from src.analysis.report.over_seeds import over_seeds
from src.analysis.report.search_report import cells
from src.analysis.report.searches import budgets_of, compared, find_searches, holds_only_searches, long_table
from src.report import main as report_main
from src.runtime.errors import UsageError
from src.runtime.launch import launch
from src.runtime.run_folder import CONFIG, RESULT
from src.search import main as search_main


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two searchers and two seeds on the truth of mini."""
    folder = tmp_path_factory.mktemp("searches")
    arguments = ["-m", "evaluator=truth", "benchmark=mini", "logger=csv", "searcher=random_search,nsga2", "seed=0,1"]
    arguments += ["searcher.population=16", "budget.models=64"]
    assert launch("search", search_main, [*arguments, f"hydra.sweep.dir={folder}"]) == 0
    return folder


def test_searches_are_read_back(sweep: Path) -> None:
    runs = find_searches(sweep)
    assert {(run.searcher, run.seed) for run in runs} == {(s, i) for s in ("random_search", "nsga2") for i in (0, 1)}
    run = runs[0]
    told = run.generations  # by the search itself
    assert [run.share_at(m) for m in told.models] == pytest.approx(told.true_hypervolume.tolist())
    assert 0 < run.share_at(1) <= run.share_at(16)
    assert math.isnan(run.share_at(65))
    assert budgets_of(runs) == [16, 32, 64]


def test_the_gain_is_paired_by_seed(sweep: Path) -> None:
    runs = find_searches(sweep)
    table = long_table(runs, [32, 64])
    comparison = compared(table, [32, 64]).set_index("searcher")
    shares = table.pivot(index="seed", columns="searcher", values="share_at_64")
    expected = over_seeds(shares.nsga2 - shares.random_search)
    assert comparison.gain["nsga2"] == expected
    assert comparison.gain["random_search"] is None
    assert comparison["at_64"]["nsga2"].mean == pytest.approx(shares.nsga2.mean())
    assert list(comparison.index) == ["nsga2", "random_search"]
    assert cells(compared(table, [32, 64]), [32, 64]).columns.tolist() == [
        "searcher",
        "seeds",
        "networks",
        "% at 32",
        "% at 64",
        "gain",
    ]


def test_intervals_are_students() -> None:
    seeds = over_seeds([0.1, 0.2, 0.3])
    assert seeds.mean == pytest.approx(0.2)
    assert seeds.high - seeds.mean == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)
    assert seeds.percent() == "20.0 ± 24.8"
    assert over_seeds([0.5]).percent() == "50.0"


def test_the_report(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report"
    assert launch("report", report_main, [f"runs={sweep}", f"out={out}", f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert len(pd.read_csv(out / "table.csv")) == 4
    page = (out / "report.html").read_text()
    assert page.count("Plotly.newPlot(") == 2
    # the networks that each searcher selected with its first seed, drawn
    assert page.count('<img alt="') == 6 and "NSGA-II, seed 0: network 2" in page
    assert "NSGA-II" in (out / "table.md").read_text()
    assert {path.name for path in (out / "figures").iterdir()} == {"shares_truth.png", "fronts_truth.png"}
    printed = capsys.readouterr().out
    assert "share of the true front" in printed
    assert "…" not in printed
    result = json.loads((tmp_path / "run" / RESULT).read_text())
    assert list(result["comparisons"]) == ["truth"]


def test_training_runs_are_reported_as_such_though_searches_stand_beside_them(sweep: Path, tmp_path: Path) -> None:
    assert holds_only_searches(sweep)
    shutil.copytree(sweep, tmp_path / "searches")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / CONFIG).write_text("choices: {sampler: spos}\n")
    assert not holds_only_searches(tmp_path)


def test_a_seed_counts_once(sweep: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(sweep, tmp_path / name)
    with pytest.raises(UsageError, match="have one searcher, evaluator and seed"):
        find_searches(tmp_path)


def test_other_settings_are_no_other_seeds(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep, tmp_path / "all")
    config = next((tmp_path / "all").glob(f"*nsga2*seed1/{CONFIG}"))
    config.write_text(config.read_text().replace("population: 16", "population: 32"))
    with pytest.raises(UsageError, match="one searcher under other settings"):
        find_searches(tmp_path / "all")


def test_searches_of_several_commits_are_mixed_only_when_asked(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(sweep, tmp_path / "all")
    first = next((tmp_path / "all").glob(f"*/{RESULT}"))
    first.write_text(json.dumps(json.loads(first.read_text()) | {"commit": "another"}))
    arguments = [f"runs={tmp_path / 'all'}", f"hydra.run.dir={tmp_path / 'run'}"]
    assert launch("report", report_main, arguments) == 2
    assert "mix_commits=true" in capsys.readouterr().err
    assert launch("report", report_main, [*arguments, "mix_commits=true"]) == 0


def test_a_damaged_search_is_named(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep, tmp_path / "all")
    next((tmp_path / "all").glob("*/front.csv")).write_text("")
    with pytest.raises(UsageError, match=r"is damaged: its front.csv"):
        find_searches(tmp_path / "all")


def test_searches_of_several_kinds_are_not_compared(sweep: Path, tmp_path: Path) -> None:
    shutil.copytree(sweep, tmp_path / "all")
    first = next((tmp_path / "all").glob(f"*/{RESULT}"))
    first.write_text(json.dumps(json.loads(first.read_text()) | {"objectives": ["loss", "macs"]}))
    with pytest.raises(UsageError, match="compare one kind at a time"):
        find_searches(tmp_path / "all")
    with pytest.raises(UsageError, match="no finished search"):
        find_searches(tmp_path / "nothing")
