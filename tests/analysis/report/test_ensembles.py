"""Ensembles of so many supernets each, the mean over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from src.analysis.beyond_counting import above_counting
from src.analysis.ranking import tau_b
from src.analysis.report.ensembles import ensemble_rows, ensembles_of
from src.analysis.report.rankings import ranking
from src.analysis.report.together import ranked_together
from src.report import run
from src.runtime.errors import UsageError
from src.runtime.run_folder import SCORES, SPLIT
from tests.analysis.report.made_runs import make_run, make_sweep, only_group

PLAIN = {"out": None, "bn": "recalibrate", "mix_commits": False, "half": None, "by": None, "wandb": None}


def test_the_mean_is_over_ensembles_of_consecutive_seeds(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=5)
    tables = [pd.read_csv(tmp_path / f"spos-{seed}" / SCORES, dtype={"arch": str}) for seed in range(5)]
    own = [table[table.bn == "recalibrate"].set_index("arch") for table in tables]
    truth, params = own[0].truth.to_numpy(), own[0].params.to_numpy(float)
    taus = [tau_b((own[i].accuracy + own[i + 1].accuracy).to_numpy(), truth) for i in (0, 2)]
    (row,) = ensemble_rows(only_group(tmp_path, 2), "recalibrate")
    assert (row["ensembles"], row["supernets"], row["passes"]) == (2, 2, 240)  # the fifth supernet is left over
    assert row["seeds"] == "0 1; 2 3"
    assert row["tau"] == pytest.approx(np.mean(taus))
    assert (row["tau_least"], row["tau_most"]) == pytest.approx((min(taus), max(taus)))
    assert row["above_count"] == pytest.approx(np.mean(taus) - tau_b(params, truth))
    assert row["tau_low"] < row["tau"] < row["tau_high"]
    assert row["above_count_low"] < row["above_count"] < row["above_count_high"]


def test_one_ensemble_of_all_is_the_seeds_together_and_of_one_each_is_each(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=3)
    runs = tuple(only_group(tmp_path, 3).runs)
    together, ensemble = (
        ranked_together(runs, "recalibrate", "accuracy"),
        ensembles_of(runs, "recalibrate", "accuracy", 3),
    )
    assert together is not None and ensemble is not None
    assert ensemble["tau"] == pytest.approx(together["tau"])
    assert ensemble["above_count"] == pytest.approx(together["above_count"])
    alone = ensembles_of(runs, "recalibrate", "accuracy", 1)
    each = [ranking(one, "recalibrate", "accuracy") for one in runs]
    assert alone is not None
    assert alone["taus"] == pytest.approx([summary["tau"]["value"] for summary in each if summary])


def test_what_makes_no_ensemble_has_no_row(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=2)
    make_run(tmp_path / "spos-2", "spos", 2, finished=False)
    assert not ensemble_rows(only_group(tmp_path, None), "recalibrate")
    assert not ensemble_rows(only_group(tmp_path, 3), "recalibrate")  # two have finished
    assert ensemble_rows(only_group(tmp_path, 2), "recalibrate")
    np.savez(tmp_path / "spos-0" / SPLIT, train=np.array([3]), val=np.array([0]))
    assert not ensemble_rows(only_group(tmp_path, 2), "recalibrate")


def test_the_report_has_them_in_a_table_and_a_file(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "strict_fair"), seeds=4)
    result = run(OmegaConf.create(PLAIN | {"runs": str(tmp_path), "ensemble_size": 2}))
    table = pd.read_csv(tmp_path / "ensembles.csv")
    assert table.method.tolist() == ["strict_fair", "spos"]
    assert isinstance(result.comparisons, list)
    assert table.tau.tolist() == pytest.approx([row["tau"] for row in result.comparisons[0]["ensembles"]])
    page = (tmp_path / "report.html").read_text()
    assert "in ensembles of 2, in the order of their seeds" in page and "2 × 2 supernets" in page
    # nothing of it where it was not asked for
    again = run(
        OmegaConf.create(PLAIN | {"runs": str(tmp_path), "ensemble_size": None, "out": str(tmp_path / "other")})
    )
    assert isinstance(again.comparisons, list) and again.comparisons[0]["ensembles"] == []
    assert not (tmp_path / "other" / "ensembles.csv").exists()


def test_a_size_that_makes_none_is_refused(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=2)
    for changes in ({"ensemble_size": 3}, {"ensemble_size": 2, "bn": "batch"}):
        with pytest.raises(UsageError, match="no method has so many finished seeds"):
            run(OmegaConf.create(PLAIN | {"runs": str(tmp_path)} | changes))
    # and what an earlier report left does not stay
    run(OmegaConf.create(PLAIN | {"runs": str(tmp_path), "ensemble_size": 2}))
    run(OmegaConf.create(PLAIN | {"runs": str(tmp_path), "ensemble_size": None}))
    assert not (tmp_path / "ensembles.csv").exists()


def test_small_spaces_are_judged_on_the_networks_that_all_have(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=2)
    file = tmp_path / "spos-1" / SCORES
    table = pd.read_csv(file, dtype={"arch": str})
    fewer = sorted(set(table.arch))[:20]
    table[table.arch.isin(fewer)].to_csv(file, index=False)
    summary = ensembles_of(tuple(only_group(tmp_path, 1).runs), "recalibrate", "accuracy", 1)
    assert summary is not None and (summary["networks"], summary["ensembles"]) == (20, 2)
    other = pd.read_csv(tmp_path / "spos-0" / SCORES, dtype={"arch": str}).query("bn == 'recalibrate'")
    kept = other[other.arch.isin(fewer)]
    assert summary["taus"][0] == pytest.approx(tau_b(kept.accuracy.to_numpy(), kept.truth.to_numpy()))
    _, above = above_counting(kept.accuracy, kept.truth, {"params": kept.params}) or ("", None)
    assert above is not None and summary["above_count"] is not None
