import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from src.analysis.consistency import self_consistency

UNDEFINED = {"mean": None, "low": None, "high": None}


def test_three_seeds_by_hand() -> None:
    # Seeds 0 and 1 swap one pair of six; seed 2 is seed 0 backwards.
    found = self_consistency(pd.DataFrame({0: [1, 2, 3, 4], 1: [1, 3, 2, 4], 2: [4, 3, 2, 1]}))
    assert (found["seeds"], found["n"]) == (3, 4)
    assert [pair["seeds"] for pair in found["pairs"]] == [[0, 1], [0, 2], [1, 2]]
    assert [pair["tau"] for pair in found["pairs"]] == pytest.approx([4 / 6, -1, -4 / 6])
    assert found["tau"] == pytest.approx({"mean": -1 / 3, "low": -1, "high": 4 / 6})
    assert found["spearman"] == pytest.approx({"mean": -1 / 3, "low": -1, "high": 0.8})


def test_correlations_are_what_scipy_gives() -> None:
    generator = np.random.default_rng(0)
    table = pd.DataFrame(np.round(generator.normal(size=(30, 1)) + generator.normal(size=(30, 2)), 1))
    found = self_consistency(table)
    for name, statistic in (("tau", stats.kendalltau), ("pearson", stats.pearsonr), ("spearman", stats.spearmanr)):
        assert found["pairs"][0][name] == pytest.approx(statistic(table[0], table[1]).statistic)
        assert found[name]["mean"] == found[name]["low"] == found[name]["high"] == found["pairs"][0][name]


def test_equal_seeds_agree_fully() -> None:
    found = self_consistency(pd.DataFrame({seed: [0.1, 0.5, 0.3] for seed in "abcd"}))
    assert len(found["pairs"]) == 6
    for measure in ("tau", "spearman", "pearson"):
        assert found[measure] == pytest.approx({"mean": 1, "low": 1, "high": 1})


def test_rows_not_known_in_all_seeds_are_left_out() -> None:
    found = self_consistency(pd.DataFrame({0: [1, 2, 3, 9], 1: [1, 2, 3, 0], 2: [1, 2, 3, math.nan]}))
    assert found["n"] == 3
    assert found["tau"]["low"] == pytest.approx(1)


@pytest.mark.parametrize("columns", [{}, {0: [1.0, 2.0]}, {0: [1.0, 2.0], 1: [3.0, 3.0]}, {0: [], 1: []}])
def test_undefined_without_a_warning(columns: dict[int, list[float]]) -> None:
    found = self_consistency(pd.DataFrame(columns))
    assert found["seeds"] == len(columns)
    assert found["tau"] == found["pearson"] == found["spearman"] == UNDEFINED


def test_a_constant_seed_leaves_the_pairs_of_the_others() -> None:
    found = self_consistency(pd.DataFrame({0: [1, 2, 3], 1: [1, 2, 3], 2: [5, 5, 5]}))
    assert [pair["tau"] for pair in found["pairs"]] == [pytest.approx(1), None, None]
    assert found["tau"]["mean"] == pytest.approx(1)


def test_plain_values() -> None:
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(9, 3)), columns=np.arange(3, dtype=np.int64))
    found = self_consistency(table.astype(np.float32))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
