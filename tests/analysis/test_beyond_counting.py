from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from src.analysis import ranking
from src.analysis.beyond_counting import above_counting, beyond_counting, mean_above_counting
from src.analysis.ranking import kendall, tau_b
from src.analysis.subsets import assess


def made(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and prediction that share the size and something else."""
    generator = np.random.default_rng(seed)
    size = np.round(generator.normal(size=n), 1)
    other = generator.normal(size=n)
    truth = size + other + generator.normal(size=n)
    return size + 0.5 * other + generator.normal(size=n), truth, size


def test_the_partial_tau_of_a_hand_counted_example() -> None:
    """Taus of x and y, x and z, y and z are 1/3, 2/3 and 2/3: (1/3 - 4/9) / sqrt(5/9 * 5/9)."""
    found = beyond_counting([1, 2, 3, 4], [2, 1, 4, 3], [1, 2, 4, 3])
    assert found["partial"].value == pytest.approx(-1 / 5)


def test_a_prediction_that_is_the_size_plus_noise_knows_next_to_nothing_beyond_it() -> None:
    _, truth, size = made(1500)
    follows = size + np.random.default_rng(5).normal(size=1500)
    whole, found = kendall(follows, truth).value, beyond_counting(follows, truth, size)
    assert whole > 0.2
    assert abs(found["partial"].value) < whole / 3
    assert found["within_fifths"].low < 0 < found["within_fifths"].high


@pytest.mark.parametrize("n", [60, 500])
def test_pairs_within_fifths_are_counted_one_by_one(n: int) -> None:
    x, y, z = made(n)
    ranks = np.argsort(np.argsort(z + 1e-9 * np.arange(n)))
    # equal sizes share the mean of their places
    places = np.array([np.mean(ranks[z == value]) for value in z]) + 0.5
    fifth = np.floor(5 * places / n)
    pairs = [(i, j) for i, j in itertools.combinations(range(n), 2) if fifth[i] == fifth[j]]
    signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in pairs]
    agreement = sum(a * b for a, b in signs)
    untied = math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
    assert beyond_counting(x, y, z)["within_fifths"].value == pytest.approx(agreement / untied)


def test_intervals_are_those_of_resampled_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each resample by hand, and the linearised sums near the exact ones."""
    x, y, z = made(300)
    found = beyond_counting(x, y, z, seed=3)
    partials = []
    for draw in np.random.default_rng(3).integers(300, size=(1000, 300)):
        xy, xz, yz = (tau_b(a[draw], b[draw]) for a, b in ((x, y), (x, z), (y, z)))
        partials.append((xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2)))
    assert (found["partial"].low, found["partial"].high) == pytest.approx(
        np.quantile(partials, [0.025, 0.975]), abs=1e-5
    )
    monkeypatch.setattr(ranking, "PAIRWISE_LIMIT", 10)
    linear = beyond_counting(x, y, z, seed=3)
    for name, exact in found.items():
        assert linear[name].value == pytest.approx(exact.value)
        assert (linear[name].low, linear[name].high) == pytest.approx((exact.low, exact.high), abs=0.02)


def test_the_difference_to_the_best_count_is_that_of_the_same_architectures() -> None:
    """Each resample by hand: the count that is best on the sample, in every draw."""
    x, y, z = made(120)
    noise = np.random.default_rng(7).normal(size=120)
    name, difference = above_counting(x, y, {"noise": noise, "size": z, "one": np.ones(120)}, seed=3) or ("", None)
    assert name == "size" and difference is not None
    assert difference.value == pytest.approx(tau_b(x, y) - tau_b(z, y))
    draws = np.random.default_rng(3).integers(120, size=(1000, 120))
    each = [tau_b(x[draw], y[draw]) - tau_b(z[draw], y[draw]) for draw in draws]
    assert (difference.low, difference.high) == pytest.approx(np.quantile(each, [0.025, 0.975]), abs=1e-5)
    # narrower than two intervals that know nothing of each other
    alone = [kendall(values, y, seed=3) for values in (x, z)]
    assert difference.high - difference.low < sum(estimate.high - estimate.low for estimate in alone)


def test_the_mean_of_several_predictions_is_resampled_as_one() -> None:
    """Each resample by hand: the same architectures for both predictions and the count."""
    x, y, z = made(120)
    other = y + np.random.default_rng(8).normal(size=120)
    tau, above = mean_above_counting([x, other], y, {"size": z}, seed=3)
    draws = np.random.default_rng(3).integers(120, size=(1000, 120))
    each = [[tau_b(v[draw], y[draw]) for v in (x, other, z)] for draw in draws]
    means = [(one + two) / 2 for one, two, _ in each]
    assert tau.value == pytest.approx((tau_b(x, y) + tau_b(other, y)) / 2)
    assert (tau.low, tau.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=1e-5)
    assert above is not None and above[1].value == pytest.approx(tau.value - tau_b(z, y))
    minus = [mean - size for mean, (_, _, size) in zip(means, each, strict=True)]
    assert (above[1].low, above[1].high) == pytest.approx(np.quantile(minus, [0.025, 0.975]), abs=1e-5)
    # one that has no tau leaves no mean
    undefined, none = mean_above_counting([x, np.ones(120)], y, {})
    assert math.isnan(undefined.value) and none is None


def test_a_count_is_as_good_as_itself_and_without_counts_there_is_no_best() -> None:
    x, y, z = made(60)
    name, difference = above_counting(z, y, {"size": z}) or ("", None)
    assert difference is not None and (name, difference.value, difference.low, difference.high) == ("size", 0, 0, 0)
    assert above_counting(x, y, {}) is None
    assert above_counting(x, y, {"one": np.ones(60)}) is None
    _, undefined = above_counting(np.ones(60), y, {"size": z}) or ("", None)
    assert undefined is not None and math.isnan(undefined.value)


def test_what_is_not_known_is_left_out_and_constants_are_undefined() -> None:
    x, y, z = made(80)
    gaps_y, gaps_z = np.append(y, [np.nan, 0.0]), np.append(z, [1.0, np.nan])
    found = beyond_counting(np.append(x, [9.0, 9.0]), gaps_y, gaps_z)
    assert found["partial"].value == pytest.approx(beyond_counting(x, y, z)["partial"].value)
    for values in ((np.ones(80), y, z), (x, np.ones(80), z), (x, y, np.ones(80))):
        assert all(math.isnan(estimate.value) for estimate in beyond_counting(*values).values())
    # the size itself as the prediction: nothing is left to correlate
    assert math.isnan(beyond_counting(z, y, z)["partial"].value)


def test_rankings_hold_it_for_parameters_and_multiply_adds() -> None:
    x, y, z = made(50)
    table = pd.DataFrame({"accuracy": x, "truth": y, "params": z, "macs": z[::-1], "blocks": z})
    found = assess(table, {"all": np.ones(50, dtype=bool)}, ["accuracy"], ["params", "macs", "blocks"])
    beyond = found["accuracy"]["all"]["beyond"]
    assert list(beyond) == ["params", "macs"]
    assert beyond["params"]["partial"]["value"] == pytest.approx(beyond_counting(x, y, z)["partial"].value)
    above = found["accuracy"]["all"]["above_count"]
    assert above["count"] in ("params", "blocks") and above["value"] == pytest.approx(tau_b(x, y) - tau_b(z, y))
