from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from src.analysis.spaced import evenly_spaced


def test_rows_lie_at_equal_distance_with_both_ends() -> None:
    values = [float(v) for v in range(101)]
    assert evenly_spaced(values, 5) == [0, 25, 50, 75, 100]


def test_rows_come_in_order_of_value_not_of_place() -> None:
    values = [3.0, 9.0, 1.0, 5.0, 7.1]
    assert evenly_spaced(values, 3) == [2, 3, 1]


def test_no_row_is_taken_twice_where_values_crowd() -> None:
    values = [0.0, 0.01, 0.02, 10.0]
    assert evenly_spaced(values, 4) == [0, 1, 2, 3]
    assert evenly_spaced([1.0, 1.0, 1.0], 2) in ([0, 1], [0, 2], [1, 2])


@pytest.mark.parametrize("seed", range(5))
def test_no_other_set_of_rows_is_nearer(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=9)
    targets = np.linspace(values.min(), values.max(), 4)

    def distance(rows: tuple[int, ...]) -> float:
        return float(np.abs(np.sort(values[list(rows)]) - targets).sum())

    found = evenly_spaced(values.tolist(), 4)
    assert values[found].tolist() == sorted(values[found])
    assert {int(values.argmin()), int(values.argmax())} <= set(found)
    best = min(distance(rows) for rows in itertools.combinations(range(9), 4))
    assert distance(tuple(found)) == pytest.approx(best)


def test_the_limits() -> None:
    assert evenly_spaced([0.0, 4.0, 10.0], 1) == [1]  # the middle of the range is 5
    assert evenly_spaced([2.0, 1.0], 8) == [1, 0]
    assert evenly_spaced([], 3) == []
    assert evenly_spaced([1.0, math.nan, 3.0, math.inf], 4) == [0, 2]
