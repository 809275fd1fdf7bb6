"""The ranking by the mean scores of a method's supernets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from src.analysis.ranking import tau_b
from src.analysis.report.rankings import counted, ranking
from src.analysis.report.runs import find_runs
from src.analysis.report.tables import method_rows
from src.analysis.report.terminal import together_table as on_a_terminal
from src.analysis.report.together import ranked_together, together_table
from src.runtime.run_folder import SCORES, SPLIT
from tests.analysis.report.made_runs import make_run, make_sweep, only_group, set_scores


@pytest.mark.parametrize("score", ["accuracy", "loss"])
def test_it_is_tau_of_the_mean_scores(tmp_path: Path, score: str) -> None:
    make_sweep(tmp_path, ("spos",), seeds=3, ranked_by=score)
    tables = [pd.read_csv(tmp_path / f"spos-{seed}" / SCORES, dtype={"arch": str}) for seed in range(3)]
    own = [table[table.bn == "recalibrate"].set_index("arch") for table in tables]
    mean = np.mean([table[score].to_numpy() for table in own], axis=0)
    truth = own[0].truth.to_numpy()
    wanted = tau_b(mean if score == "accuracy" else -mean, truth)
    params = tau_b(own[0].params.to_numpy(float), truth)
    group = only_group(tmp_path)
    summary = ranked_together(tuple(group.runs), "recalibrate", score)
    assert summary is not None and summary["supernets"] == 3
    assert summary["tau"]["value"] == pytest.approx(wanted)
    assert summary["above_count"]["value"] == pytest.approx(wanted - params)
    # errors of the seeds that are independent of each other lose by the mean
    alone = [summary["tau"]["value"] for run in group.runs if (summary := ranking(run, "recalibrate", score))]
    assert wanted > max(alone)
    (row,) = method_rows(group, "recalibrate").to_dict("records")
    assert row["tau_together"] == pytest.approx(wanted) and row["tau_together_low"] < wanted < row["tau_together_high"]


def test_one_supernet_is_no_ensemble(tmp_path: Path) -> None:
    make_run(tmp_path / "one", "spos", 0)
    make_run(tmp_path / "other", "spos", 1, finished=False)
    group = only_group(tmp_path)
    assert ranked_together(tuple(group.runs), "recalibrate", "accuracy") is None
    assert together_table(group, "recalibrate").empty
    (row,) = method_rows(group, "recalibrate").to_dict("records")
    assert np.isnan(row["tau_together"])


def test_only_networks_that_all_have_scored_count(tmp_path: Path) -> None:
    truth, size = [0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 1.0, 2.0, 2.0, 3.0]
    for seed, scores in enumerate(([0.1, 0.3, 0.2, 0.4, 0.0], [0.2, 0.1, 0.4, 0.5])):
        n = len(scores)
        folder = make_run(tmp_path / f"{seed}", "spos", seed)
        set_scores(folder, scores, truth[:n], params=size[:n], macs=size[:n], loss=[1 - each for each in scores])
    summary = ranked_together(tuple(only_group(tmp_path).runs), "recalibrate", "accuracy")
    assert summary is not None and summary["n"] == 4  # mean scores 0.15, 0.2, 0.3, 0.45
    assert summary["tau"]["value"] == 1


def test_a_score_that_one_run_lacks_has_no_mean(tmp_path: Path) -> None:
    truth, size = [0.1, 0.2, 0.3, 0.4], [1.0, 1.0, 2.0, 2.0]
    for seed, loss in enumerate(([0.9, 0.8, 0.7, 0.1], [0.8, 0.7, 0.9, math.nan])):
        folder = make_run(tmp_path / f"{seed}", "spos", seed)
        set_scores(folder, [0.1, 0.2, 0.3, 0.4], truth, params=size, macs=size, loss=loss)
    runs = tuple(only_group(tmp_path).runs)
    by_loss, by_accuracy = (ranked_together(runs, "recalibrate", score) for score in ("loss", "accuracy"))
    assert by_loss is not None and by_loss["n"] == 3  # mean losses 0.85, 0.75, 0.8
    assert by_loss["tau"]["value"] == pytest.approx(1 / 3)
    assert by_accuracy is not None and by_accuracy["n"] == 4


def test_scores_on_other_images_are_not_averaged(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=2)
    for seed, images in enumerate(([0, 1], [0, 2])):
        np.savez(tmp_path / f"spos-{seed}" / SPLIT, train=np.array([3]), val=np.array(images))
    assert ranked_together(tuple(only_group(tmp_path).runs), "recalibrate", "accuracy") is None
    # the same images in the same order, one of them trained on instead of held out
    np.savez(tmp_path / "spos-1" / SPLIT, train=np.array([3, 0]), val=np.array([1]))
    assert ranked_together(tuple(only_group(tmp_path).runs), "recalibrate", "accuracy") is None
    np.savez(tmp_path / "spos-1" / SPLIT, train=np.array([3]), val=np.array([0, 1]))
    assert ranked_together(tuple(only_group(tmp_path).runs), "recalibrate", "accuracy") is not None
    # a folder of images has the names of its classes there, too
    for seed in range(2):
        parts: dict[str, Any] = {"train": np.array([3]), "val": np.array([0]), "classes": np.array(["cat", "dog"])}
        np.savez(tmp_path / f"spos-{seed}" / SPLIT, **parts)
    assert ranked_together(tuple(only_group(tmp_path).runs), "recalibrate", "accuracy") is not None


def test_counts_are_those_of_the_space(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", "spos", 0)
    config = OmegaConf.load(folder / "config.yaml")
    OmegaConf.update(config, "search_space", {"_target_": "src.search_spaces.mini.Mini"}, force_add=True)
    OmegaConf.save(config, folder / "config.yaml")
    paths = ["2-2-0-1-2", "0-0-0-0-0"]
    table = pd.DataFrame({"path": paths, "params": [2, 1], "macs": [np.nan, 1]})
    (run,) = find_runs(folder)
    counts = counted(run, table)
    assert set(counts) == {"params", "mb_blocks", "e3_blocks"}  # multiply-adds are not known of all
    assert counts["e3_blocks"].tolist() == [3, 0]


def test_both_tables_show_it(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "strict_fair"), seeds=2)
    group = only_group(tmp_path)
    table = together_table(group, "recalibrate")
    assert table["Supernets"].tolist() == ["2", "2"]
    assert table["Backward passes, all"].tolist() == ["720", "240"]
    assert table["Best count"].tolist() == ["parameters", "parameters"]
    (ten,) = {name for name in map(str, table) if name.startswith("Truly best ten")}
    assert all(0 <= int(share) <= 100 for share in table[ten].tolist())
    rows = method_rows(group, "recalibrate").to_dict("records")
    shown = on_a_terminal({"methods": rows})
    assert shown is not None and shown.row_count == 2
    cells = [list(column.cells) for column in shown.columns]
    assert cells[1] == ["2", "2"]
    assert cells[2] == [f"{row['tau_together']:.3f}" for row in rows]
    assert cells[4] == [f"{row['above_count_together']:+.3f}" for row in rows]
    assert all(row["above_count_together_low"] < row["above_count_together"] for row in rows)
    assert on_a_terminal({"methods": [row | {"tau_together": None} for row in rows]}) is None
