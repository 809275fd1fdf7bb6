import itertools
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from src.analysis.fairness import (
    count_spread,
    equal_count_probability,
    uniform_count_mean,
    uniform_count_variance,
    worst_spread,
)


@pytest.mark.parametrize("m, n", [(2, 2), (2, 4), (2, 10), (3, 3), (3, 6), (3, 9), (4, 8), (6, 6)])
def test_lemma_1_is_what_enumeration_gives(m: int, n: int) -> None:
    equal = sum(
        all(Counter(draws)[choice] == n // m for choice in range(m)) for draws in itertools.product(range(m), repeat=n)
    )
    assert equal_count_probability(m, n) == pytest.approx(equal / m**n)


def test_lemma_1_known_values() -> None:
    assert equal_count_probability(2, 20) == pytest.approx(math.comb(20, 10) / 2**20)
    assert equal_count_probability(2, 20) < 0.2 < equal_count_probability(2, 14)
    assert equal_count_probability(1, 7) == pytest.approx(1.0)
    assert equal_count_probability(5, 0) == 1.0


@pytest.mark.parametrize("m", [2, 3, 6])
def test_lemma_1_falls_with_n_to_stirlings_limit(m: int) -> None:
    values = [equal_count_probability(m, m * k) for k in range(1, 200)]
    assert all(later < earlier for earlier, later in itertools.pairwise(values))
    n = 10**6 // m * m
    stirling = math.sqrt(m) * (m / (2 * math.pi * n)) ** ((m - 1) / 2)
    assert equal_count_probability(m, n) == pytest.approx(stirling, rel=1e-4)


@pytest.mark.parametrize("m, n", [(2, 3), (3, 10), (0, 4), (2, -2)])
def test_lemma_1_needs_a_multiple(m: int, n: int) -> None:
    with pytest.raises(ValueError, match="multiple"):
        equal_count_probability(m, n)


def test_moments_of_uniform_draws() -> None:
    counts = np.random.default_rng(0).multinomial(600, [1 / 6] * 6, size=20000)[:, 0]
    assert counts.mean() == pytest.approx(uniform_count_mean(6, 600), rel=0.01)
    assert counts.var() == pytest.approx(uniform_count_variance(6, 600), rel=0.05)


def test_count_spread_per_layer_and_of_the_worst() -> None:
    rows = [(10, 0, 0, 3), (10, 0, 1, 7), (10, 1, 0, 5), (10, 1, 1, 5), (20, 0, 0, 10), (20, 0, 1, 10), (20, 1, 0, 11)]
    counts = pd.DataFrame([*rows, (20, 1, 1, 9)], columns=["step", "layer", "choice", "count"])
    assert count_spread(counts).to_numpy().tolist() == [[10, 0, 4], [10, 1, 0], [20, 0, 0], [20, 1, 2]]
    assert worst_spread(counts).to_numpy().tolist() == [[10, 4], [20, 2]]
