import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from src.analysis.report import wording
from src.analysis.report.agreement import consistency_rows
from src.analysis.report.groups import Group
from src.analysis.report.over_seeds import over_seeds
from src.analysis.report.rankings import predictions, protocols, ranking
from src.analysis.report.runs import find_runs
from src.analysis.report.tables import baseline_rows, long_rows, method_rows
from src.runtime.run_folder import RESULT, write_json
from tests.analysis.report.made_runs import PATHS, make_run, make_sweep, make_variants, only_group, set_scores


def test_the_mean_over_seeds_has_a_t_interval() -> None:
    values = [0.5, 0.6, 0.8]
    seeds = over_seeds([*values, None, math.nan])
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert seeds.mean == pytest.approx(np.mean(values))
    assert seeds.sd == pytest.approx(np.std(values, ddof=1))
    assert (seeds.low, seeds.high) == pytest.approx((low, high))


def test_one_seed_has_no_spread_and_none_no_mean() -> None:
    one, none = over_seeds([0.5]), over_seeds([None])
    assert one.mean == 0.5 and math.isnan(one.sd) and math.isnan(one.low)
    assert all(math.isnan(value) for value in none.columns("tau").values())


def test_method_rows_average_what_the_results_say(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "strict_fair"), ceiling=0.8)
    fair, spos = method_rows(only_group(tmp_path), "recalibrate").to_dict("records")
    results = [json.loads((tmp_path / f"spos-{seed}" / RESULT).read_text()) for seed in range(3)]
    taus = [result["ranking"]["recalibrate"]["accuracy"]["all"]["tau"]["value"] for result in results]
    assert spos["tau"] == pytest.approx(np.mean(taus))
    assert spos["tau_low"] < spos["tau"] < spos["tau_high"] <= 1
    assert (spos["seeds"], spos["running"], spos["architectures"]) == (3, 0, len(PATHS))
    assert (fair["steps_min"], fair["backward_passes_max"], fair["count_spread"]) == (120, 360, 0)
    assert spos["count_spread"] > 0


def test_unfinished_runs_are_counted_but_not_averaged(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0)
    make_run(tmp_path / "b", "spos", 1, finished=False)
    row = method_rows(only_group(tmp_path), "recalibrate").iloc[0]
    assert (row["seeds"], row["running"]) == (1, 1)
    assert math.isnan(row["tau_sd"])


def test_baselines_and_ceiling(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), ceiling=0.8)
    rows = baseline_rows(only_group(tmp_path), "recalibrate").set_index("name")
    stored = json.loads((tmp_path / "spos-0" / RESULT).read_text())["ranking"]["recalibrate"]["accuracy"]["all"][
        "baselines"
    ]["params"]
    assert list(rows.index) == ["params", "macs", "ceiling"]
    assert rows.loc["params", "tau"] == pytest.approx(stored["value"])
    assert rows.loc["ceiling", "tau"] == pytest.approx(0.8)


@pytest.mark.parametrize("layout", ["without ranking", "of another version"])
def test_a_missing_ranking_is_computed_from_the_scores(tmp_path: Path, layout: str) -> None:
    run = make_run(tmp_path / "a", "spos", 0, ceiling=0.8)
    before = find_runs(tmp_path)[0]
    stored = ranking(before, "running", "accuracy")
    result = json.loads((run / RESULT).read_text())
    result |= {"ranking": {}} if layout == "without ranking" else {"schema": 1, "ranking": {"running": {"tau": 0.5}}}
    write_json(run / RESULT, result)
    after = find_runs(tmp_path)[0]
    computed = ranking(after, "running", "accuracy")
    assert after.finished and (after.result is None) == (layout == "of another version")
    assert stored is not None and computed == stored
    assert ranking(after, "batch", "accuracy") is None
    assert after.costs["steps"] == before.costs["steps"] == 120
    assert after.costs["backward_passes"] == before.costs["backward_passes"]


def test_predictions_are_better_the_higher() -> None:
    table = pd.DataFrame({"accuracy": [0.5, 0.7, 0.6], "loss": [0.9, 0.8, 0.7]})
    assert predictions(table, "accuracy").tolist() == [0.5, 0.7, 0.6]
    assert predictions(table, "loss").tolist() == [-0.9, -0.8, -0.7]
    assert predictions(table, "mean_rank").tolist() == [-3, -1.5, -1.5]
    assert np.isnan(predictions(table.assign(loss=[0.9, math.nan, 0.7]), "loss")).all()


def test_tables_rank_by_the_score_of_the_recipe_and_show_the_other(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=2, ranked_by="loss")
    group = only_group(tmp_path)
    row = method_rows(group, "recalibrate").iloc[0]
    tables = [run.scores.query("bn == 'recalibrate'") for run in group.runs]
    assert row["ranked_by"] == "loss"
    for name, score, sign in (("tau", "loss", -1), ("tau_by_other", "accuracy", 1)):
        taus = [stats.kendalltau(sign * table[score], table["truth"]).statistic for table in tables]
        assert row[name] == pytest.approx(np.mean(taus))
    assert {"Kendall τ by loss", "τ by accuracy", "τ minus best count"} <= set(wording.method_table(group, "running"))
    (long, _) = (row for row in long_rows(group) if row["bn"] == "recalibrate")
    computed = ranking(group.runs[0], "recalibrate", "loss")
    assert computed is not None and (long["ranked_by"], long["tau"]) == ("loss", computed["tau"]["value"])


def test_methods_are_compared_with_the_best_count(tmp_path: Path) -> None:
    truth = [0.1, 0.2, 0.3, 0.4]
    run = make_run(tmp_path / "a", "spos", 0)
    set_scores(run, [1, 2, 4, 3], truth, params=[4, 3, 2, 1], macs=[2, 1, 3, 4])
    rows = baseline_rows(only_group(tmp_path), "recalibrate")
    assert rows["name"].tolist() == ["macs", "params"] and rows["tau"].tolist() == pytest.approx([2 / 3, -1])
    assert method_rows(only_group(tmp_path), "recalibrate")["tau_above_count"].iloc[0] == pytest.approx(0)


def test_the_difference_to_the_best_count_has_the_mean_bounds_of_the_seeds(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=2)
    # as rankings of before: a difference without an interval
    assert math.isnan(method_rows(only_group(tmp_path), "recalibrate")["tau_above_count_low"].iloc[0])
    for seed, run in enumerate(sorted(path.parent for path in tmp_path.rglob("result.json"))):
        result = json.loads((run / "result.json").read_text())
        whole = result["ranking"]["recalibrate"]["accuracy"]["all"]
        whole["above_count"] = {"count": "macs", "value": 0.1, "low": 0.01 + 0.02 * seed, "high": 0.2}
        (run / "result.json").write_text(json.dumps(result))
    group = only_group(tmp_path)
    row = method_rows(group, "recalibrate").iloc[0]
    assert (row["tau_above_count_low"], row["tau_above_count_high"]) == pytest.approx((0.02, 0.2))
    assert wording.method_table(group, "recalibrate")["τ minus best count"].iloc[0].endswith("[0.02, 0.20]")
    stored = [long for long in long_rows(group) if long["bn"] == "recalibrate"]
    assert [long["tau_above_count_low"] for long in stored] == [0.01, 0.03]


def test_long_rows_hold_every_run_and_protocol(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0)
    make_run(tmp_path / "b", "spos", 1, finished=False)
    rows = long_rows(only_group(tmp_path))
    assert [(row["run"], row["bn"], row["state"], row["steps"]) for row in rows] == [
        ("a", "recalibrate", "finished", 120),
        ("a", "running", "finished", 120),
        ("b", "", "running", 60),
    ]
    assert rows[0]["tau_low"] < rows[0]["tau"] < rows[0]["tau_high"]
    assert protocols(find_runs(tmp_path)) == ["recalibrate", "running"]


def test_equal_steps_and_unequal_passes_are_said(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "strict_fair"), seeds=1)
    group = only_group(tmp_path)
    assert wording.budget_statement(group) == "Compared at equal mini-batches (120 each)."
    (warning,) = wording.warnings(group)
    assert "Strict fairness 360; SPOS 120" in warning


def test_equal_passes_are_said(tmp_path: Path) -> None:
    budget: dict[str, Any] = {"budget__epochs": None, "budget__backward_passes": 360}
    make_run(tmp_path / "a", "strict_fair", 0, epochs=12, **budget)
    make_run(tmp_path / "b", "spos", 0, epochs=36, **budget)
    group = only_group(tmp_path)
    assert wording.budget_statement(group) == "Compared at equal backward passes (360 each)."
    assert wording.warnings(group) == []


def test_other_findings_are_said(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0, optimizer__lr=0.1)
    make_run(tmp_path / "b", "spos", 0, optimizer__lr=0.1)
    make_run(tmp_path / "c", "strict_fair", 0, finished=False)
    text = " ".join(wording.warnings(only_group(tmp_path)))
    assert "more than once" in text and "SPOS seed 0" in text
    assert "differ in more than the sampler: optimizer.lr" in text
    assert "1 of 3 runs not finished" in text


def test_nothing_finished_yet(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0, finished=False)
    group = only_group(tmp_path)
    assert wording.budget_statement(group) == "No run has finished yet."
    cells = wording.method_table(group, "recalibrate").iloc[0]
    assert cells["Seeds"] == "0 (+1 running)" and cells["Kendall τ by accuracy"] == "–"


def test_cells_are_rounded_for_readers(tmp_path: Path) -> None:
    assert wording.with_spread(0.61234, 0.0312, 3) == "0.612 ± 0.031"
    assert wording.with_spread(0.61234, math.nan, 3) == "0.612"
    assert wording.with_spread(math.nan, math.nan, 3) == "–"
    assert wording.interval(0.5, 0.714) == "[0.50, 0.71]" and wording.interval(-0.001, 0.1) == "[0.00, 0.10]"
    assert wording.from_to(1800, 1800) == "1,800" and wording.from_to(1790, 1800) == "1,790 to 1,800"


def test_markdown_has_a_row_per_method_and_baseline(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "ef"), seeds=2)
    lines = wording.markdown(wording.method_table(only_group(tmp_path), "recalibrate")).splitlines()
    assert [line.split("|")[1].strip() for line in lines] == [
        "Method",
        "---",
        "SPOS",
        "EF",
        "counting parameters",
        "counting multiply-adds",
    ]
    assert len({line.count("|") for line in lines}) == 1


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "strict_fair"))
    fair, spos = method_rows(only_group(tmp_path), "recalibrate").to_dict("records")

    def tau(sampler: str, seed: int) -> float:
        result = json.loads((tmp_path / f"{sampler}-{seed}" / RESULT).read_text())
        return result["ranking"]["recalibrate"]["accuracy"]["all"]["tau"]["value"]

    differences = [tau("spos", seed) - tau("strict_fair", seed) for seed in range(3)]
    low, high = stats.t.interval(0.95, 2, loc=np.mean(differences), scale=stats.sem(differences))
    assert spos["tau_difference"] == pytest.approx(np.mean(differences))
    assert (spos["tau_difference_low"], spos["tau_difference_high"]) == pytest.approx((low, high))
    assert math.isnan(fair["tau_difference"])


def test_a_single_seed_shows_the_bootstrap_over_architectures(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", "spos", 0)
    stored = json.loads((folder / RESULT).read_text())["ranking"]["recalibrate"]["accuracy"]["all"]["tau"]
    row = method_rows(only_group(tmp_path), "recalibrate").iloc[0]
    assert (row["tau_low"], row["tau_high"]) == (stored["low"], stored["high"])


TRUTH = [0.8 + 0.01 * i for i in range(12)]  # best of all 0.91, mean of all 0.855


def made_group(folder: Path, accuracies: dict[int, list[float]]) -> Group:
    """SPOS runs by seed, of 12 architectures each; counting parameters gets it backwards."""
    for seed, accuracy in accuracies.items():
        run = make_run(folder / str(seed), "spos", seed)
        set_scores(run, accuracy, TRUTH, params=list(range(12, 0, -1)))
    return only_group(folder)


def test_selection_of_ten_by_hand(tmp_path: Path) -> None:
    right, wrong = [i / 20 for i in range(12)], [-i / 20 + 0.6 for i in range(12)]
    group = made_group(tmp_path, {0: right, 1: wrong})
    row = method_rows(group, "recalibrate").iloc[0]
    best, worst = (0.865 - 0.855) / 0.055, (0.845 - 0.855) / 0.055
    assert row["improvement_at_10"] == pytest.approx(0)
    assert row["improvement_at_10_sd"] == pytest.approx(np.std([best, worst], ddof=1))
    assert row["precision_at_10"] == pytest.approx((1.0 + 0.8) / 2)
    assert row["one_shot_range"] == pytest.approx(0.55) and row["alone_range"] == pytest.approx(0.11)
    assert row["gap"] == pytest.approx(0.44)
    counted = baseline_rows(group, "recalibrate").set_index("name")
    assert counted.loc["params", "improvement_at_10"] == pytest.approx(worst)
    cells = wording.selection_table(group, "recalibrate").iloc[0]
    assert cells["Gap λ"] == "44.0 ± 0.0" and cells["Truly best ten among them, %"] == "90 ± 14"
    assert wording.method_table(group, "recalibrate")[wording.AT_TEN].tolist() == ["0.00 ± 0.26", "-0.18"]


def test_the_gap_has_no_sign(tmp_path: Path) -> None:
    narrow = [0.5 + i / 1200 for i in range(12)]
    row = method_rows(made_group(tmp_path, {0: narrow}), "recalibrate").iloc[0]
    assert row["gap"] == pytest.approx(0.11 - 11 / 1200)


def test_self_consistency_by_hand(tmp_path: Path) -> None:
    rising, swapped = [float(i) for i in range(12)], [1.0, 0.0, *map(float, range(2, 12))]
    group = made_group(tmp_path, {0: rising, 1: rising, 2: swapped})
    (row,) = consistency_rows(group, "recalibrate")
    one_swap = 1 - 2 / 66
    assert (row["method"], row["seeds"], row["n"]) == ("spos", 3, 12)
    assert [pair["seeds"] for pair in row["pairs"]] == [[0, 1], [0, 2], [1, 2]]
    assert [pair["tau"] for pair in row["pairs"]] == pytest.approx([1, one_swap, one_swap])
    (cells,) = wording.consistency_table(group, "recalibrate").to_dict("records")
    assert cells["Kendall τ"] == "0.980 [0.970, 1.000]" and cells["Architectures"] == "12"


def test_differences_are_to_the_same_sampler_without_weights(tmp_path: Path) -> None:
    make_variants(tmp_path, ("none", "bias_2"))
    group = only_group(tmp_path)
    plain, bias = method_rows(group, "recalibrate").to_dict("records")
    assert bias["reference"] == "spos" and math.isnan(plain["tau_difference"])
    assert bias["tau_difference"] == pytest.approx(bias["tau"] - plain["tau"])
    cells = wording.method_table(group, "recalibrate")["τ minus no inter-choice weights"]
    assert cells[0] == "" and cells[1].startswith(f"{bias['tau_difference']:+.3f}")
