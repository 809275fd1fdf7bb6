from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.analysis.improvement import improvement_curve, tau_of_best
from src.analysis.report.groups import group_runs
from src.analysis.report.rankings import known_scores
from src.analysis.report.runs import find_runs
from src.analysis.report.selection import BEST, KEPT, best_curve, kept_curve, selection, thinned
from tests.analysis.report.made_runs import make_run, set_scores

TRUTH = [0.5, 0.6, 0.7, 0.8]


def made_runs(folder: Path, *accuracies: list[float], truth: list[float] = TRUTH) -> Path:
    for seed, accuracy in enumerate(accuracies):
        set_scores(make_run(folder / str(seed), "spos", seed), accuracy, truth, params=list(range(len(truth))))
    return folder


def test_what_is_left_is_averaged_over_seeds(tmp_path: Path) -> None:
    runs = find_runs(made_runs(tmp_path, [1, 2, 3, 4], [4, 3, 2, 1]))
    curve = kept_curve(runs, "recalibrate", "accuracy")
    assert list(curve) == KEPT and curve["left"].tolist() == [4, 3, 2, 1]
    assert curve["mean"].tolist() == pytest.approx([0.65] * 4)
    assert curve["high"].tolist() == pytest.approx([0.65, 0.7, 0.75, 0.8])
    assert curve["low"].tolist() == pytest.approx([0.65, 0.6, 0.55, 0.5])
    assert curve["improvement_high"].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (curve["seeds"] == 2).all()


def test_from_four_seeds_on_shades_are_a_standard_deviation(tmp_path: Path) -> None:
    curve = kept_curve(
        find_runs(made_runs(tmp_path, [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4], [4, 3, 2, 1])),
        "recalibrate",
        "accuracy",
    )
    sd = np.std([0.8, 0.8, 0.8, 0.5], ddof=1)
    last = curve.iloc[-1]
    assert (last["mean"], last["low"], last["high"]) == pytest.approx((0.725, 0.725 - sd, 0.725 + sd))


def test_tau_of_the_best(tmp_path: Path) -> None:
    curve = best_curve(find_runs(made_runs(tmp_path, [1, 2, 3, 4], [2, 1, 3, 4])), "recalibrate", "accuracy")
    assert list(curve) == BEST and curve["left"].tolist() == [4, 3]
    assert curve["tau"].tolist() == pytest.approx([(1 + 2 / 3) / 2, 1])


def test_selection_has_counts_and_ends(tmp_path: Path) -> None:
    (group,) = group_runs(find_runs(made_runs(tmp_path, [1, 2, 3, 4])))
    pruned = selection(group, "recalibrate")
    assert pruned.architectures == 4 and pruned.ends == pytest.approx((0.65, 0.8))
    assert list(pruned.counted) == ["params"]
    assert pruned.counted["params"]["mean"].tolist() == pytest.approx([0.65, 0.7, 0.75, 0.8])


def test_unfinished_runs_and_unknown_truths_select_nothing(tmp_path: Path) -> None:
    make_run(tmp_path / "going", "spos", 0, finished=False)
    set_scores(make_run(tmp_path / "blind", "ef", 0), [0.1, 0.2])
    (group,) = group_runs(find_runs(tmp_path))
    pruned = selection(group, "recalibrate")
    assert (pruned.architectures, pruned.ends, pruned.counted) == (0, None, {})
    assert all(curve.empty for curves in (pruned.kept, pruned.best) for curve in curves.values())


def test_runs_of_other_architectures_have_no_common_scale(tmp_path: Path) -> None:
    made_runs(tmp_path / "a", [1, 2, 3, 4])
    made_runs(tmp_path / "b", [1, 2, 3, 4], truth=[0.1, 0.2, 0.3, 0.4])
    (group,) = group_runs(find_runs(tmp_path))
    assert selection(group, "recalibrate").ends is None


def test_long_curves_are_thinned_but_keep_their_ends_and_ten() -> None:
    truth = np.random.default_rng(0).random(3000)
    whole = improvement_curve(truth, truth)
    curve = thinned(whole)
    assert len(curve) <= 201 and {3000, 10, *range(1, 8)} <= set(curve["left"])
    assert (np.diff(curve["left"]) < 0).all()
    assert pd.merge(curve, whole)["mean"].tolist() == curve["mean"].tolist()


def test_tau_of_the_best_is_dense_where_few_are_left(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    truth = generator.random(1000).tolist()
    runs = find_runs(made_runs(tmp_path, generator.random(1000).tolist(), truth=truth))
    curve = best_curve(runs, "recalibrate", "accuracy")
    assert {1000, 10, 9, 8} <= set(curve["left"]) and (np.diff(curve["left"]) < 0).all()
    table = known_scores(runs[0], "recalibrate")
    exact = tau_of_best(table["accuracy"], table["truth"], points=1000).set_index("left")["tau"]
    assert curve["tau"].tolist() == pytest.approx(exact[curve["left"].tolist()].tolist())
