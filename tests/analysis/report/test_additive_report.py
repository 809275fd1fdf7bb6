"""Reports that order networks by the loss as a sum over layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.analysis.additive import ADDITIVE, additive_loss
from src.analysis.ranking import tau_b
from src.analysis.report.groups import group_runs
from src.analysis.report.rankings import known_scores, ranking
from src.analysis.report.runs import HALVES, find_runs, half_of
from src.analysis.report.tables import long_rows
from src.analysis.report.together import ranked_together
from src.analysis.subsets import predictions
from src.runtime.run_folder import SCORES
from tests.analysis.report.made_runs import make_run, make_sweep


def test_stored_runs_are_ranked_by_the_score_that_is_asked_for(tmp_path: Path) -> None:
    make_run(tmp_path / "run", "spos", 0, ranked_by="loss")
    (stored,), (asked,) = find_runs(tmp_path), find_runs(tmp_path, by=ADDITIVE)
    assert (stored.ranked_by, asked.ranked_by) == ("loss", ADDITIVE)
    own = ranking(asked, "recalibrate", ADDITIVE)
    table = known_scores(stored, "recalibrate")
    fit = additive_loss(table["path"].tolist(), table["loss"])
    assert own is not None
    assert own["tau"]["value"] == pytest.approx(tau_b(-fit, table["truth"].to_numpy(float)))
    # noise of single networks is taken out of a truth that is a sum
    by_loss = ranking(stored, "recalibrate", "loss")
    assert by_loss is not None and own["tau"]["value"] > by_loss["tau"]["value"] + 0.1


def test_a_half_keeps_the_fit_of_all_networks_and_those_without_a_truth_count_too(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", "spos", 0, ranked_by=ADDITIVE)
    lines = (folder / SCORES).read_text().splitlines()
    place = lines[0].split(",").index("truth")
    unknown = [",".join("" if i == place else cell for i, cell in enumerate(line.split(","))) for line in lines[1:20]]
    (folder / SCORES).write_text("\n".join([lines[0], *unknown, *lines[20:], ""]))
    (whole,) = find_runs(tmp_path)
    every = whole.scores[whole.scores["bn"] == "recalibrate"].set_index("arch")
    expected = dict(zip(every.index, additive_loss(every["path"].tolist(), every["loss"]), strict=True))
    for half in HALVES:
        (run,) = find_runs(tmp_path, half)
        table = known_scores(run, "recalibrate")
        assert {half_of(arch) for arch in table["arch"]} == {half} and len(table) < len(every) / 2 + 10
        assert predictions(table, ADDITIVE).tolist() == [-expected[arch] for arch in table["arch"]]


def test_runs_that_rank_by_different_scores_are_one_table_if_a_score_is_asked_for(tmp_path: Path) -> None:
    for seed, ranked_by in enumerate(("loss", ADDITIVE)):
        make_run(tmp_path / f"spos-{seed}", "spos", seed, ranked_by=ranked_by)
    assert len(group_runs(find_runs(tmp_path))) == 2
    make_run(tmp_path / "spos-2", "spos", 2, finished=False)
    (group,) = group_runs(find_runs(tmp_path, by=ADDITIVE))
    assert group.ranked_by == ADDITIVE and len(group.runs) == 3
    # the third has no scores yet
    rows = pd.DataFrame(long_rows(group))
    assert rows[rows["bn"] == "recalibrate"]["tau"].notna().sum() == 2


def test_a_table_whose_methods_rank_by_different_scores_has_that_of_the_first(tmp_path: Path) -> None:
    for sampler, ranked_by in (("strict_fair", ADDITIVE), ("spos", "loss")):
        make_sweep(tmp_path / sampler, (sampler,), seeds=2, ranked_by=ranked_by)
    (group,) = group_runs(find_runs(tmp_path))
    rows = pd.DataFrame(long_rows(group))
    assert group.ranked_by == ADDITIVE and "ranking.by" in group.confounded
    assert rows[rows["bn"] == "recalibrate"]["tau"].notna().sum() == 4


def test_the_fit_of_the_mean_is_the_mean_of_the_fits(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=3, ranked_by=ADDITIVE)
    runs = find_runs(tmp_path)
    together = ranked_together(tuple(runs), "recalibrate", ADDITIVE)
    tables = [known_scores(run, "recalibrate") for run in runs]
    mean = np.mean([table["loss"] for table in tables], axis=0)
    expected = tau_b(-additive_loss(tables[0]["path"].tolist(), mean), tables[0]["truth"].to_numpy(float))
    assert together is not None and together["tau"]["value"] == pytest.approx(expected)
