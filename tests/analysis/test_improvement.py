import itertools
import math

import numpy as np
import pytest

from src.analysis.improvement import improvement_at, improvement_curve, tau_of_best, top
from src.analysis.ranking import tau_b


def tied(n: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.integers(4, size=n).astype(float), generator.integers(8, size=n).astype(float)


def test_curve_of_a_hand_counted_example() -> None:
    # Truths by prediction, best first: 3, 4, 1, 0. Means 3, 7/2, 8/3, 2; scaled by 4 - 2.
    curve = improvement_curve([10, 30, 40, 20], [0, 4, 3, 1])
    assert curve["left"].tolist() == [4, 3, 2, 1]
    np.testing.assert_allclose(curve["mean"], [2, 8 / 3, 3.5, 3])
    np.testing.assert_allclose(curve["improvement"], [0, 1 / 3, 0.75, 0.5])


def test_perfect_prediction_climbs_to_one_and_reversed_falls_to_the_worst() -> None:
    truth = np.array([5.0, 1.0, 2.0, 8.0])
    perfect, reverse = improvement_curve(truth, truth)["improvement"], improvement_curve(-truth, truth)["improvement"]
    np.testing.assert_allclose(perfect, [0, 1 / 4, 2.5 / 4, 1])
    np.testing.assert_allclose(reverse, [0, (8 / 3 - 4) / 4, -2.5 / 4, -3 / 4])


def test_constant_prediction_improves_nothing() -> None:
    np.testing.assert_allclose(improvement_curve(np.ones(9), np.arange(9) / 7)["improvement"], 0, atol=1e-12)


def test_constant_truth_cannot_be_improved() -> None:
    curve = improvement_curve([1, 2, 3], [0.1, 0.1, 0.1])
    assert curve["improvement"].isna().all()
    np.testing.assert_allclose(curve["mean"], 0.1)
    assert math.isnan(improvement_at([1, 2, 3], [0.1, 0.1, 0.1]))


def test_ties_are_the_expectation_over_all_orders() -> None:
    prediction, truth = np.array([2, 1, 1, 1, 0]), np.array([3.0, 9.0, 1.0, 4.0, 2.0])
    orders = [[0, *middle, 4] for middle in itertools.permutations([1, 2, 3])]
    means = np.mean([[truth[order[:left]].mean() for left in (5, 4, 3, 2, 1)] for order in orders], axis=0)
    np.testing.assert_allclose(improvement_curve(prediction, truth)["mean"], means)


def test_row_order_does_not_matter() -> None:
    x, y = tied()
    order = np.random.default_rng(1).permutation(len(x))
    for function in (improvement_curve, tau_of_best):
        before, after = function(x, y), function(x[order], y[order])
        np.testing.assert_allclose(before, after, atol=1e-12)
    for a, b in zip(top(x, y), top(x[order], y[order]), strict=True):
        assert a == pytest.approx(b)


def test_what_has_no_truth_is_left_out() -> None:
    with_gap = [1, 2, 9, 3], [5, 7, math.nan, 6]
    without = [1, 2, 3], [5, 7, 6]
    for function in (improvement_curve, tau_of_best):
        assert function(*with_gap).equals(function(*without))
    assert top(*with_gap) == top(*without)


def test_improvement_at_reads_the_curve() -> None:
    prediction, truth = [10, 30, 40, 20], [0, 4, 3, 1]
    assert improvement_at(prediction, truth, left=1) == pytest.approx(0.5)
    assert improvement_at(prediction, truth, left=2) == pytest.approx(0.75)
    assert improvement_at(prediction, truth, left=4) == pytest.approx(0)
    assert improvement_at(prediction, truth) == pytest.approx(0)  # fewer than ten: nothing is pruned
    assert improvement_at(range(40), range(40)) == pytest.approx(15 / 19.5)
    assert math.isnan(improvement_at([], []))
    with pytest.raises(ValueError, match="at least one"):
        improvement_at(prediction, truth, left=0)


def test_tau_of_best_keeps_the_truly_best() -> None:
    # The four best are ordered backwards, the rest perfectly and below them.
    truth = np.arange(8.0)
    prediction = np.array([0, 1, 2, 3, 7, 6, 5, 4])
    found = tau_of_best(prediction, truth)
    assert found["left"].tolist() == [8, 7, 6, 5, 4, 3]
    np.testing.assert_allclose(found["tau"], [1 - 2 * 6 / 28, 1 - 2 * 6 / 21, 1 - 2 * 6 / 15, 1 - 2 * 6 / 10, -1, -1])


def test_tau_of_best_starts_with_all_and_takes_few_points() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 1000))
    found = tau_of_best(x, y, points=50)
    assert len(found) == 50
    assert (found["left"].iloc[0], found["left"].iloc[-1]) == (1000, 3)
    assert found["tau"].iloc[0] == pytest.approx(tau_b(x, y))
    best = np.argsort(-y)[: found["left"].iloc[25]]
    assert found["tau"].iloc[25] == pytest.approx(tau_b(x[best], y[best]))


def test_tau_of_best_cuts_no_ties_and_is_nan_where_constant() -> None:
    found = tau_of_best([1, 2, 3, 4, 5, 6], [0, 1, 1, 2, 2, 2])
    assert found["left"].tolist() == [6, 5, 3]
    assert found["tau"].isna().tolist() == [False, False, True]
    assert tau_of_best(np.ones(5), range(5))["tau"].isna().all()
    assert tau_of_best([1, 2], [1, 2]).empty


def test_top_by_hand() -> None:
    # Of n = 40, truth 39 is the best. The prediction puts truth 36 first, then 0, then 39, 38, ..., 32, then the rest.
    best_first = [36, 0, 39, 38, 37, 35, 34, 33, 32, 31, *range(30, 0, -1)]
    prediction = np.empty(40)
    prediction[best_first] = np.arange(40, 0, -1)
    assert top(prediction, np.arange(40.0)) == [
        {"k": 1, "name": "1", "precision": 0.0, "best_rank": 4.0},
        {"k": 10, "name": "10", "precision": 0.9, "best_rank": 1.0},  # 0 is in, 30 is out
        {"k": 2, "name": "5 %", "precision": 0.0, "best_rank": 4.0},
    ]


@pytest.mark.parametrize("n, share", [(10, 1), (60, 3), (61, 4), (140, 7)])
def test_top_sizes(n: int, share: int) -> None:
    found = top(np.arange(n), np.arange(n))
    assert [entry["k"] for entry in found] == [1, 10, share]
    assert all(entry["precision"] == entry["best_rank"] == 1 for entry in found)


def test_top_leaves_out_k_beyond_n() -> None:
    assert [entry["name"] for entry in top(range(9), range(9))] == ["1", "5 %"]
    assert top([], []) == []


def test_ties_in_the_prediction_give_the_expected_rank() -> None:
    # One of the first three at random: ranks 4, 1, 3 of 4. Only the best one hits.
    found = top([9, 9, 9, 0], [1, 7, 2, 5])[0]
    assert found == pytest.approx({"k": 1, "name": "1", "precision": 1 / 3, "best_rank": (4 + 1 + 3) / 3})


@pytest.mark.parametrize("seed", range(5))
def test_ten_with_tied_last_places_are_the_mean_of_all_draws(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.integers(9, size=16)
    prediction = np.repeat([2, 1, 0], [5, 8, 3])  # five sure, five of eight at random
    ranks = np.array([1 + (truth > value).sum() for value in truth])
    drawn = [[*range(5), *places] for places in itertools.combinations(range(5, 13), 5)]
    found = top(prediction, truth)[1]
    assert found["precision"] == pytest.approx(np.mean([(truth[d] >= np.sort(truth)[-10]).mean() for d in drawn]))
    assert found["best_rank"] == pytest.approx(np.mean([ranks[d].min() for d in drawn]))


def test_top_counts_what_ties_with_the_kth_truly_best() -> None:
    for prediction in ([3, 2, 1], [2, 3, 1]):
        assert top(prediction, [8, 8, 7])[0] == {"k": 1, "name": "1", "precision": 1.0, "best_rank": 1.0}
    assert top([1, 2, 3], [8, 8, 7])[0]["best_rank"] == 3
