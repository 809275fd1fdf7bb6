import json
import math

import numpy as np
import pandas as pd
import pytest

from src.analysis.ranking import summary
from src.analysis.subsets import assess, predictions, truth_subsets


def table(n: int = 60) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=n)
    columns = {"accuracy": truth + generator.normal(size=n), "params": truth + 2 * generator.normal(size=n)}
    return pd.DataFrame({"truth": truth, **columns, "loss": -columns["accuracy"]}, index=generator.permutation(n))


def test_the_top_tenth_is_rounded_up() -> None:
    truth = np.random.default_rng(0).permutation(21) / 100
    found = truth_subsets(truth)
    assert list(found) == ["all", "top 10 %"]
    assert found["all"].all()
    assert sorted(truth[found["top 10 %"]]) == [0.18, 0.19, 0.20]


@pytest.mark.parametrize("n, best", [(1, 1), (10, 1), (11, 2), (70, 7), (15_625, 1563)])
def test_size_of_the_top_tenth(n: int, best: int) -> None:
    assert truth_subsets(np.arange(n))["top 10 %"].sum() == best


def test_ties_with_the_last_of_the_top_are_in() -> None:
    truth = [5, 9, 7, 7, 7, 1, 1, 1, 1, 1, 1]
    assert truth_subsets(truth)["top 10 %"].tolist() == [False, True, True, True, True] + [False] * 6


def test_unknown_truths_are_in_no_subset_and_do_not_count() -> None:
    found = truth_subsets([math.nan] * 15 + [0.8, 0.9, 0.85], at_least=0.85)
    assert {name: rows.nonzero()[0].tolist() for name, rows in found.items()} == {
        "all": [15, 16, 17],
        "top 10 %": [16],
        "accuracy >= 85 %": [16, 17],
    }
    assert not any(rows.any() for rows in truth_subsets([math.nan, math.nan], at_least=0.5).values())
    assert list(truth_subsets([0.1], at_least=0.575)) == ["all", "top 10 %", "accuracy >= 57.5 %"]


def test_assess_summarises_the_rows_of_each_subset() -> None:
    rows = table()
    good = (rows["truth"] > 0).to_numpy()
    found = assess(rows, {"all": np.ones(60, dtype=bool), "good": good}, ["accuracy"], ["params"], seed=3)["accuracy"]
    assert list(found) == ["all", "good"]
    for each in found.values():
        assert list(each.pop("beyond")) == ["params"] and each.pop("above_count")["count"] == "params"
    assert found["all"] == summary(rows["accuracy"], rows["truth"], {"params": rows["params"]}, seed=3)
    kept = rows[good]
    assert found["good"] == summary(kept["accuracy"], kept["truth"], {"params": kept["params"]}, seed=3)
    assert found["good"]["n"] == good.sum() < 60
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_low_loss_is_a_good_score() -> None:
    rows = table()
    subsets = truth_subsets(rows["truth"])
    assert (
        assess(rows, subsets, ["loss"], ["params"])["loss"]
        == assess(rows, subsets, ["accuracy"], ["params"])["accuracy"]
    )


def test_too_few_known_truths_give_their_number_alone() -> None:
    rows = pd.DataFrame({"truth": [1, 2, 3, math.nan], "accuracy": [1, 2, 3, 4]})
    masks = {"none": [0, 0, 0, 0], "two": [0, 1, 1, 1], "three": [1, 1, 1, 0]}
    found = assess(rows, {name: np.array(mask, dtype=bool) for name, mask in masks.items()}, ["accuracy"], [])[
        "accuracy"
    ]
    assert found["none"] == {"n": 0} and found["two"] == {"n": 2}
    assert found["three"]["n"] == 3 and found["three"]["tau"]["value"] == pytest.approx(1)


def test_the_mean_rank_is_between_both_orders() -> None:
    rows = pd.DataFrame({"accuracy": [0.9, 0.8, 0.7], "loss": [0.2, 0.1, 0.3], "truth": [0.9, 0.8, 0.7]})
    assert predictions(rows, "mean_rank").tolist() == [-1.5, -1.5, -3.0]
    assert predictions(rows, "loss").tolist() == [-0.2, -0.1, -0.3]
