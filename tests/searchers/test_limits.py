import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from src.runtime.errors import UsageError
from src.search_spaces.mobilenet import MobileNetB, Proxyless
from src.search_spaces.space import SearchSpace
from src.searchers.limits import Additive, FeasiblePaths, Limit

COST = Additive("macs", 10.0, ((0.0, 3.0, 7.0), (1.0, 1.5), (2.0, 4.0, 4.5, 9.0)))
SIZES = (3, 2, 4)
EVERY = list(itertools.product(*map(range, SIZES)))


def costs_of(space: SearchSpace, name: str) -> Additive:
    table = space.cost_table(space.reference)
    choices = tuple(tuple(getattr(choice, name) for choice in layer) for layer in table.choices)
    return Additive(name, getattr(table.fixed, name), choices)


def test_an_additive_cost_is_a_sum() -> None:
    assert COST((1, 0, 3)) == 10 + 3 + 1 + 9
    assert (COST.low, COST.high) == (13.0, 27.5)


@pytest.mark.parametrize("most", [13.0, 14.2, 17.0, 20.6, 27.5])
def test_draws_are_uniform_over_all_paths_within_a_limit(most: float) -> None:
    allowed = [path for path in EVERY if COST(path) <= most]
    feasible, rng = FeasiblePaths(SIZES, [Limit(COST, most)]), np.random.default_rng(0)
    counts = Counter(feasible.sample(rng) for _ in range(100 * len(allowed)))
    assert set(counts) <= set(allowed)
    if len(allowed) > 1:
        assert stats.chisquare([counts[path] for path in allowed]).pvalue > 1e-3


def test_draws_without_limits_are_uniform() -> None:
    feasible, rng = FeasiblePaths(SIZES), np.random.default_rng(1)
    counts = Counter(feasible.sample(rng) for _ in range(100 * len(EVERY)))
    assert stats.chisquare([counts[path] for path in EVERY]).pvalue > 1e-3


@pytest.mark.parametrize("space, most", [(MobileNetB(), 330e6), (MobileNetB(), 250e6), (Proxyless(), 200e6)])
def test_huge_spaces_are_drawn_from_without_being_listed(space: SearchSpace, most: float) -> None:
    macs = costs_of(space, "macs")
    feasible, rng = FeasiblePaths(space.sizes, [Limit(macs, most)]), np.random.default_rng(0)
    drawn = [feasible.sample(rng) for _ in range(50)]
    assert len(set(drawn)) > 40
    assert all(space.costs(path).macs <= most for path in drawn)


def test_several_limits_hold_together() -> None:
    space = MobileNetB()
    macs, params = costs_of(space, "macs"), costs_of(space, "params")
    limits = [Limit(macs, 300e6), Limit(params, 4.2e6)]
    feasible, rng = FeasiblePaths(space.sizes, limits), np.random.default_rng(0)
    for _ in range(20):
        costs = space.costs(feasible.sample(rng))
        assert costs.macs <= 300e6
        assert costs.params <= 4.2e6


def test_only_the_cheapest_path_is_left_at_the_lower_end() -> None:
    space = MobileNetB()
    macs = costs_of(space, "macs")
    feasible = FeasiblePaths(space.sizes, [Limit(macs, macs.low)])
    assert feasible.sample(np.random.default_rng(0)) == (0,) * 19


def test_completing_a_path_leaves_what_is_kept() -> None:
    feasible, rng = FeasiblePaths(SIZES, [Limit(COST, 20.0)]), np.random.default_rng(0)
    for _ in range(20):
        found = feasible.complete([2, None, None], rng)
        assert found is not None
        assert found[0] == 2
        assert COST(found) <= 20
    assert feasible.complete([2, None, 3], rng) is None
    assert feasible.complete([0, 0, 0], rng) == (0, 0, 0)


def test_a_path_beyond_a_limit_is_mended_and_any_other_left_alone() -> None:
    feasible, rng = FeasiblePaths(SIZES, [Limit(COST, 17.0)]), np.random.default_rng(0)
    for path in EVERY:
        mended = feasible.near(path, rng)
        assert COST(mended) <= 17
        assert mended == path or COST(path) > 17


def test_a_limit_below_all_networks_names_the_range() -> None:
    with pytest.raises(UsageError, match=r"limit.macs=12 is below every network .* between 13 and 27.5"):
        Limit(COST, 12.0)


def test_limits_that_exclude_each_other_are_refused_together() -> None:
    opposite = Additive("params", 0.0, tuple(tuple(-c for c in layer) for layer in COST.choices))
    with pytest.raises(UsageError, match=r"limit.macs=14 and limit.params=-17 are met by no architecture"):
        FeasiblePaths(SIZES, [Limit(COST, 14.0), Limit(opposite, -17.0)])


def test_a_limit_at_the_least_sum_of_floats_leaves_the_cheapest_path() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        cost = Additive("latency", float(rng.random()), tuple(tuple(map(float, rng.random(3))) for _ in range(7)))
        cheapest = tuple(int(np.argmin(layer)) for layer in cost.choices)
        assert FeasiblePaths((3,) * 7, [Limit(cost, cost.low)]).sample(rng) == cheapest
