import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats

from src.analysis import ranking
from src.analysis.improvement import improvement_at
from src.analysis.ranking import Estimate, kendall, null_sd, pearson, spearman, split_half, summary, tau_b


def correlated(n: int, noise: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=n)
    return truth + noise * generator.normal(size=n), truth


def counted_tau_b(x: list[float], y: list[float]) -> float:
    pairs = list(itertools.combinations(range(len(x)), 2))
    agreement = sum(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in pairs)
    return float(agreement / math.sqrt(sum(x[i] != x[j] for i, j in pairs) * sum(y[i] != y[j] for i, j in pairs)))


def test_tau_of_a_hand_counted_example() -> None:
    # Pairs of (1,2,3,4) against (1,3,2,4): five agree, one does not.
    assert kendall([1, 2, 3, 4], [1, 3, 2, 4]).value == pytest.approx(4 / 6)


def test_tau_b_of_a_hand_counted_example_with_ties() -> None:
    # x = 1 1 2 3, y = 1 2 2 3: of six pairs four agree, one is tied in x alone and one in y alone: 4 / sqrt(5 * 5).
    assert kendall([1, 1, 2, 3], [1, 2, 2, 3]).value == pytest.approx(4 / 5)


@pytest.mark.parametrize("seed", range(5))
def test_tau_b_is_what_counting_all_pairs_gives(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.integers(5, size=(2, 20)).astype(float)
    assert tau_b(x, y) == pytest.approx(counted_tau_b(x.tolist(), y.tolist()))


def times(draws: np.ndarray) -> np.ndarray:
    """How often each of n items is in each row of `draws` (R, n)."""
    return np.stack([np.bincount(draw, minlength=draws.shape[1]) for draw in draws]).astype(float)


def test_resampling_by_pairs_is_exact() -> None:
    x, y = (np.round(v, 1) for v in correlated(60))
    draws = np.random.default_rng(1).integers(60, size=(40, 60))
    exact = [tau_b(x[draw], y[draw]) for draw in draws]
    np.testing.assert_allclose(ranking.tau_of(ranking._sums_by_pairs(x, y, times(draws))), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("decimals", [8, 1, 0])  # no ties, ten values or so a unit, seven values in all
def test_linearised_intervals_are_exact_but_for_monte_carlo_error(decimals: int) -> None:
    x, y = (np.round(v, decimals) for v in correlated(2500))
    draws = np.random.default_rng(0).integers(2500, size=(1000, 2500))
    exact = np.array([tau_b(x[draw], y[draw]) for draw in draws])
    found = kendall(x, y)
    assert found.value == tau_b(x, y)
    error = exact.std() * math.sqrt(0.025 * 0.975 / 1000) / stats.norm.pdf(1.96)  # standard error of a 2.5 % quantile
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(exact, [0.025, 0.975])), abs=error)
    assert np.corrcoef(ranking.tau_of(ranking._linearised_sums(x, y, times(draws))), exact)[0, 1] > 0.998


def test_a_perfect_ranking_of_many_with_ties_has_no_spread() -> None:
    truth = np.round(correlated(2500)[1], 1)
    assert kendall(truth, truth) == Estimate(1.0, 1.0, 1.0)


def test_interval_contains_the_value_and_shrinks_with_n() -> None:
    widths = []
    for n in (20, 100, 500):
        found = kendall(*correlated(n))
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[0] > 1.5 * widths[1] > 2 * widths[2]


def test_interval_covers_the_true_tau_about_as_often_as_it_says() -> None:
    true_tau = 2 / math.pi * math.asin(1 / math.sqrt(2))  # of a bivariate normal with correlation 1 / sqrt 2
    found = [kendall(*correlated(60, seed=seed), resamples=300) for seed in range(200)]
    assert 0.88 <= np.mean([f.low <= true_tau <= f.high for f in found]) <= 0.99


def test_same_seed_same_interval_and_another_seed_another() -> None:
    x, y = correlated(50)
    assert kendall(x, y, seed=3) == kendall(x, y, seed=3)
    assert kendall(x, y, seed=3) != kendall(x, y, seed=4)


def test_perfect_and_reversed_rankings() -> None:
    assert kendall(range(30), range(30)) == Estimate(1.0, 1.0, 1.0)
    assert kendall(range(30), range(30, 0, -1)) == Estimate(-1.0, -1.0, -1.0)


@pytest.mark.parametrize("x, y", [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([1], [1]), ([], [])])
def test_nothing_to_order_is_nan_without_a_warning(x: list[float], y: list[float]) -> None:
    for found in (kendall(x, y), spearman(x, y), pearson(x, y)):
        assert all(math.isnan(v) for v in (found.value, found.low, found.high))


@pytest.mark.parametrize("decimals", [8, 0])
def test_spearman_and_pearson_are_what_scipy_gives(decimals: int) -> None:
    x, y = (np.round(v, decimals) for v in correlated(50))
    assert spearman(x, y).value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert ranking.spearman_rho(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert pearson(x, y).value == pytest.approx(stats.pearsonr(x, y).statistic)


def test_spearman_and_pearson_by_hand() -> None:
    # Ranks 1 2 3 4 against 1 3 2 4: 1 - 6 * 2 / (4 * 15). Deviations -1 0 1 against -5 -2 7: 12 / sqrt(2 * 78).
    assert spearman([1, 2, 3, 40], [1, 30, 2, 400]).value == pytest.approx(0.8)
    assert pearson([1, 2, 3], [0, 3, 12]).value == pytest.approx(12 / math.sqrt(156))


def test_intervals_are_quantiles_over_the_same_draws() -> None:
    x, y = (np.round(v, 1) for v in correlated(40))
    draws = np.random.default_rng(7).integers(40, size=(100, 40))
    for found, statistic in ((spearman, stats.spearmanr), (pearson, stats.pearsonr), (kendall, stats.kendalltau)):
        resampled = [statistic(x[draw], y[draw]).statistic for draw in draws]
        low, high = np.quantile(resampled, [0.025, 0.975])
        estimate = found(x, y, seed=7, resamples=100)
        assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-6)
        assert low < estimate.value < high


def test_draws_of_one_value_alone_are_left_out() -> None:
    for found in (kendall, spearman, pearson):  # a draw of two of two is constant half of the time
        assert found([1, 2], [3, 4]) == Estimate(1.0, 1.0, 1.0)


def test_a_prediction_of_nan_is_the_worst() -> None:
    diverged, finite = [math.nan, 1, 2, 3, math.nan], [-9, 1, 2, 3, -9]
    truth = [1, 3, 4, 5, 2]
    for found in (kendall, spearman):
        assert found(diverged, truth) == found(finite, truth)
    assert kendall(diverged, truth).value > 0.9
    assert math.isnan(pearson(diverged, truth).value)
    assert summary([*diverged, *range(5, 15)], [*truth, *range(6, 16)], {})["improvement_at_10"] > 0


def test_vectors_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equal length"):
        kendall([1, 2], [1, 2, 3])


def test_null_sd_matches_shuffled_rankings() -> None:
    assert null_sd(13) == pytest.approx(0.21, abs=0.005)
    assert null_sd(300) == pytest.approx(0.039, abs=0.0005)
    generator = np.random.default_rng(0)
    taus = [tau_b(np.arange(13.0), generator.permutation(13).astype(float)) for _ in range(2000)]
    assert np.std(taus) == pytest.approx(null_sd(13), rel=0.05)


def test_summary_holds_plain_values_and_baselines() -> None:
    x, y = correlated(40)
    found = summary(x, y, {"params": y, "macs": np.ones(40)})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["n"] == 40
    assert found["tau"]["value"] == kendall(x, y).value
    assert found["spearman"] == dataclasses.asdict(spearman(x, y))
    assert found["pearson"] == dataclasses.asdict(pearson(x, y))
    assert [(entry["k"], entry["name"]) for entry in found["top"]] == [(1, "1"), (10, "10"), (2, "5 %")]
    assert found["improvement_at_10"] == improvement_at(x, y, 10)
    assert found["baselines_at_10"] == {
        "params": pytest.approx((np.sort(y)[-10:].mean() - y.mean()) / (y.max() - y.mean())),
        "macs": pytest.approx(0, abs=1e-12),
    }
    assert found["baselines"] == {
        "params": {"value": 1.0, "low": 1.0, "high": 1.0},
        "macs": {"value": None, "low": None, "high": None},
    }


def test_summary_takes_the_same_draws_for_baselines() -> None:
    x, y = correlated(40)
    found = summary(x, y, {"itself": x}, seed=5)
    assert found["baselines"]["itself"] == found["tau"] == dataclasses.asdict(kendall(x, y, seed=5))
    assert found["tau"] != summary(x, y, {})["tau"]


def test_summary_leaves_out_what_has_no_truth() -> None:
    x, y = correlated(40)
    partly = np.concatenate([y, [math.nan] * 5])
    longer = np.concatenate([x, np.zeros(5)])
    assert summary(longer, partly, {"params": longer}) == summary(x, y, {"params": x})


@pytest.mark.parametrize("n", [0, 1, 2])
def test_summary_of_next_to_nothing(n: int) -> None:
    found = summary(range(n), range(n), {"params": range(n)})
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["n"] == n
    assert [entry["k"] for entry in found["top"]] == [1, 1] * (n > 0)


def test_summary_of_a_constant_truth_is_undefined() -> None:
    found = summary([1, 2, 3], [5, 5, 5], {"params": [1, 2, 3]})
    assert found["improvement_at_10"] is None and found["baselines_at_10"] == {"params": None}
    assert found["top"][0] == {"k": 1, "name": "1", "precision": None, "best_rank": None}


def test_summary_of_a_constant_prediction() -> None:
    found = summary([0.1, 0.1, 0.1], [0.5, 0.6, 0.7], {})
    undefined = {"value": None, "low": None, "high": None}
    assert found["tau"] == found["spearman"] == found["pearson"] == undefined
    assert found["improvement_at_10"] == pytest.approx(0)
    assert found["top"][0] == pytest.approx({"k": 1, "name": "1", "precision": 1 / 3, "best_rank": 2.0})


def test_split_half_rises_as_noise_falls() -> None:
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(200, 1))
    noise = generator.normal(size=(200, 8))
    found = [split_half(truth + scale * noise) for scale in (0.0, 0.3, 1.0, 100.0)]
    assert found[0] == pytest.approx(1.0)
    assert found == sorted(found, reverse=True)
    assert abs(found[-1]) < 0.1


def test_split_half_takes_all_splits_or_random_ones() -> None:
    runs = np.random.default_rng(0).normal(size=(50, 12)) + np.arange(50)[:, None] / 10
    assert split_half(runs, splits=50) == pytest.approx(split_half(runs, splits=1000), abs=0.03)
    assert split_half(runs, seed=1, splits=50) == split_half(runs, seed=1, splits=50)
    with pytest.raises(ValueError, match="two seeds"):
        split_half(runs[:, :1])
