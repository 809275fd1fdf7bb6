from pathlib import Path

import pandas as pd
import pytest

from src.analysis.report.curves import (
    accuracy_curve,
    draw_shares,
    importance_curve,
    lemma_curve,
    pooled_accuracies,
    scatter_points,
    spread_curve,
)
from src.analysis.report.group_charts import importance_charts
from src.analysis.report.groups import group_runs
from src.analysis.report.runs import find_runs
from src.runtime.run_folder import COUNTS, IMPORTANCE, METRICS
from tests.analysis.report.made_runs import PATHS, make_run, make_sweep


def test_accuracy_curve_is_the_mean_over_seeds_with_the_spread_over_paths(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("strict_fair",), seeds=2)
    curve = accuracy_curve(find_runs(tmp_path))
    tables = [pd.read_csv(tmp_path / f"strict_fair-{seed}" / METRICS) for seed in range(2)]
    last = [table["supernet/accuracy_mean"].iloc[-1] for table in tables]
    assert curve["step"].tolist() == list(range(10, 130, 10))
    assert curve["passes"].tolist() == list(range(30, 390, 30))
    assert curve["mean"].iloc[-1] == pytest.approx(sum(last) / 2)
    assert (curve["high"] - curve["mean"]).iloc[-1] == pytest.approx(0.05)
    assert (curve["seeds"] == 2).all()


def test_a_run_on_its_way_counts_as_far_as_it_got(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0)
    make_run(tmp_path / "b", "spos", 1, finished=False)
    assert accuracy_curve(find_runs(tmp_path))["seeds"].tolist() == [2] * 6 + [1] * 6


def test_shades_stay_within_what_an_accuracy_can_be(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", "spos", 0)
    table = pd.read_csv(run / METRICS).assign(**{"supernet/accuracy_std": 0.7})
    table.to_csv(run / METRICS, index=False)
    curve = accuracy_curve(find_runs(tmp_path))
    assert curve["low"].min() == 0 and curve["high"].max() == 1


def test_spread_curve_holds_the_extremes_over_seeds(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "strict_fair"))
    runs = find_runs(tmp_path)
    spos = spread_curve([run for run in runs if run.sampler == "spos"])
    fair = spread_curve([run for run in runs if run.sampler == "strict_fair"])
    assert (spos["low"] <= spos["mean"]).all() and (spos["mean"] <= spos["high"]).all()
    assert (fair[["low", "mean", "high"]] == 0).all(axis=None)


def test_spread_comes_from_the_metrics_where_there_are_no_counts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", "spos", 0)
    counted = spread_curve(find_runs(tmp_path))
    (run / COUNTS).unlink()
    assert spread_curve(find_runs(tmp_path))["mean"].tolist() == counted["mean"].tolist()


def test_nothing_logged_gives_empty_curves(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", "spos", 0, finished=False)
    for name in (METRICS, COUNTS):
        (run / name).unlink()
    runs = find_runs(tmp_path)
    assert len(accuracy_curve(runs)) == len(spread_curve(runs)) == len(scatter_points(runs, "running")) == 0
    assert pooled_accuracies(runs, "running") == []


def test_scores_are_pooled_over_seeds_and_points_averaged(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=2)
    runs = find_runs(tmp_path)
    assert len(pooled_accuracies(runs, "recalibrate")) == 2 * len(PATHS)
    points = scatter_points(runs, "recalibrate").set_index("arch")
    each = [run.scores.query("bn == 'recalibrate'").set_index("arch")["accuracy"]["0-1-2-0"] for run in runs]
    assert points.loc["0-1-2-0", "accuracy"] == pytest.approx(sum(each) / 2)
    assert len(points) == len(PATHS)


def test_lemma_curve_has_the_multiples_of_m() -> None:
    curve = lemma_curve(3, until=10)
    assert curve["n"].tolist() == [3, 6, 9]
    assert curve["f"].iloc[0] == pytest.approx(6 / 27)


def test_importance_by_epoch(tmp_path: Path) -> None:
    rows = ["step,epoch,figure,layer,choice,name,value"]
    for seed, draws in ((0, (3, 1)), (1, (1, 3))):
        make_run(tmp_path / str(seed), "path_importance", seed)
        table = [*rows, *(f"8,0,draws,{layer},{c},{'pq'[c]},{n}" for layer in (0, 1) for c, n in enumerate(draws))]
        table += ["8,0,distinct_images,,,,0.5", f"16,1,distinct_images,,,,{0.25 + seed / 2}", "16,1,draws,0,0,p,7"]
        table += ["8,0,path_smoothing,,,,0", "16,1,path_smoothing,,,,0.5", *(f"8,0,entropy,{n},,,{n}" for n in (0, 1))]
        (tmp_path / str(seed) / IMPORTANCE).write_text("\n".join(table) + "\n")
    runs = find_runs(tmp_path)
    curve = importance_curve(runs, "distinct_images")
    assert curve.to_dict("list") == {"epoch": [0, 1], "mean": [0.5, 0.5], "low": [0.5, 0.25], "high": [0.5, 0.75]}
    shares = draw_shares(runs)
    assert shares.loc[0].to_dict() == {"p": 0.5, "q": 0.5}
    assert shares.loc[1, "p"] == 1
    charts = importance_charts(group_runs(runs)[0])
    assert list(charts) == ["operations_drawn", "images_drawn", "importance"]
    # as far as known: the smoothing of paths, and the mean entropy over layers
    assert [panel.y.label for panel in charts["importance"].all_panels if panel] == [
        "smoothing, paths",
        "entropy of a layer, nats",
    ]
    assert [panel.title for panel in charts["operations_drawn"].panels[0] if panel] == ["PA"]
    # a run without importance has none
    make_run(tmp_path / "spos" / "run", "spos", 0)
    (group,) = group_runs(find_runs(tmp_path / "spos"))
    assert importance_charts(group) == {}
