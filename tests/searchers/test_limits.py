import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from src.runtime.errors import UsageError
from src.search_spaces.expanded import Expanded
from src.search_spaces.mobilenet import MobileNetB, Proxyless
from src.search_spaces.space import SearchSpace
from src.searchers.limits import FeasiblePaths, Limit
from src.searchers.path_costs import Additive, PathCost

COST = Additive("macs", 10.0, ((0.0, 3.0, 7.0), (1.0, 1.5), (2.0, 4.0, 4.5, 9.0)))
SIZES = (3, 2, 4)
EVERY = list(itertools.product(*map(range, SIZES)))


def costs_of(space: SearchSpace, name: str) -> Additive:
    table = space.additive_costs(space.reference)
    assert table is not None
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


def test_a_path_is_mended_into_a_narrow_window_in_few_draws() -> None:
    """The largest network of the full space into a window that one in 1,100 lies in."""
    space = Expanded()
    calls = 0

    def macs(path: tuple[int, ...]) -> float:
        nonlocal calls
        calls += 1
        return float(space.costs(path).macs)

    extremes = space.extremes()
    limit = Limit(PathCost("macs", macs, extremes, is_sample=False), 220e6, 180e6)
    feasible, rng = FeasiblePaths(space.sizes, [limit]), np.random.default_rng(0)
    calls = 0
    mended = feasible.near(extremes[1], rng)
    assert 180e6 <= macs(mended) <= 220e6
    assert calls < 40_000


def test_a_limit_below_all_networks_names_the_range() -> None:
    with pytest.raises(UsageError, match=r"limit.macs=12 is below every network .* between 13 and 27.5"):
        Limit(COST, 12.0)


def test_limits_that_exclude_each_other_are_refused_together() -> None:
    opposite = Additive("params", 0.0, tuple(tuple(-c for c in layer) for layer in COST.choices))
    with pytest.raises(UsageError, match=r"limit.macs=14 and limit.params=-17 are met by no architecture"):
        FeasiblePaths(SIZES, [Limit(COST, 14.0), Limit(opposite, -17.0)])


def pairs(path: tuple[int, ...]) -> float:
    """No sum over the layers."""
    return float(path[0] * path[1] + path[1] * path[2])


def test_draws_within_a_limit_on_no_sum_are_uniform_over_its_paths() -> None:
    cost = PathCost("macs", pairs, EVERY, is_sample=False)
    assert (cost.low, cost.high) == (0.0, 5.0)
    allowed = [path for path in EVERY if pairs(path) <= 2]
    assert 0 < len(allowed) < len(EVERY)
    feasible, rng = FeasiblePaths(SIZES, [Limit(cost, 2.0)]), np.random.default_rng(0)
    counts = Counter(feasible.sample(rng) for _ in range(100 * len(allowed)))
    assert set(counts) <= set(allowed)
    assert stats.chisquare([counts[path] for path in allowed]).pvalue > 1e-3
    assert feasible.allows(feasible.near((2, 1, 3), rng))


def test_limits_on_sums_and_on_others_are_met_together() -> None:
    limits = [Limit(COST, 17.0), Limit(PathCost("params", pairs, EVERY, is_sample=False), 1.0)]
    feasible, rng = FeasiblePaths(SIZES, limits), np.random.default_rng(0)
    allowed = {path for path in EVERY if COST(path) <= 17 and pairs(path) <= 1}
    assert {feasible.sample(rng) for _ in range(500)} == allowed


def test_a_limit_that_no_path_meets_is_refused_with_the_range_of_all_or_of_a_sample() -> None:
    with pytest.raises(UsageError, match=r"limit.macs=-1 is below every network .* between 0 and 5"):
        Limit(PathCost("macs", pairs, EVERY, is_sample=False), -1.0)
    with pytest.raises(UsageError, match=r"limit.macs=-1 is met by no architecture that was tried"):
        FeasiblePaths(SIZES, [Limit(PathCost("macs", pairs, EVERY[:5], is_sample=True), -1.0)])


def test_a_limit_at_the_least_sum_of_floats_leaves_the_cheapest_path() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        cost = Additive("latency", float(rng.random()), tuple(tuple(map(float, rng.random(3))) for _ in range(7)))
        cheapest = tuple(int(np.argmin(layer)) for layer in cost.choices)
        assert FeasiblePaths((3,) * 7, [Limit(cost, cost.low)]).sample(rng) == cheapest


@pytest.mark.parametrize("ends", [(14.2, 17.0), (20.0, 20.6), (13.0, 13.0), (26.0, 27.5)])
def test_draws_are_uniform_over_all_paths_within_a_window(ends: tuple[float, float]) -> None:
    allowed = [path for path in EVERY if ends[0] <= COST(path) <= ends[1]]
    feasible, rng = FeasiblePaths(SIZES, [Limit(COST, ends[1], ends[0])]), np.random.default_rng(0)
    counts = Counter(feasible.sample(rng) for _ in range(100 * len(allowed)))
    assert set(counts) <= set(allowed)
    if len(allowed) > 1:
        assert stats.chisquare([counts[path] for path in allowed]).pvalue > 1e-3
    assert all(feasible.allows(path) == (path in allowed) for path in EVERY)


def test_a_window_of_a_huge_space_of_sums_is_met_by_construction() -> None:
    space = MobileNetB()
    macs = costs_of(space, "macs")
    feasible, rng = FeasiblePaths(space.sizes, [Limit(macs, 300.5e6, 300e6)]), np.random.default_rng(0)
    # few of all paths lie there
    assert all(300e6 <= space.costs(feasible.sample(rng)).macs <= 300.5e6 for _ in range(20))


def test_a_window_of_costs_that_are_no_sums_is_met_exactly() -> None:
    """One network of 1,098 (facts of the expanded space: 200 M multiply-adds, a tenth to each side)."""
    space = Expanded()
    cost = PathCost("macs", lambda path: space.costs(path).macs, [(0,) * 6], is_sample=True)
    feasible, rng = FeasiblePaths(space.sizes, [Limit(cost, 220e6, 180e6)]), np.random.default_rng(0)
    drawn = [feasible.sample(rng) for _ in range(5)]
    assert len(set(drawn)) == 5
    assert all(180e6 <= space.costs(path).macs <= 220e6 for path in drawn)


def test_a_path_is_completed_uniformly_where_few_ways_are_within_a_window() -> None:
    """One stage's depth and width left open: 3 of 1,024 ways lie there; beside two larger stages none does."""
    space = Expanded(depth=8, width=128)
    cost = PathCost("macs", lambda path: space.costs(path).macs, [(0,) * 6], is_sample=True)
    sums = sorted(space.costs((3, 40, 5, 99, d, w)).macs for d in range(8) for w in range(128))
    feasible, rng = FeasiblePaths(space.sizes, [Limit(cost, sums[2], 0.8 * sums[2])]), np.random.default_rng(0)
    counts = Counter(feasible.complete([3, 40, 5, 99, None, None], rng) for _ in range(60))
    assert len(counts) == 3 and None not in counts
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3
    assert feasible.complete([7, 127, 7, 127, None, None], rng) is None


def test_windows_that_hold_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match=r"limit\.macs=\[30,40\] is above every network .* 13 and 27\.5"):
        Limit(COST, 40.0, 30.0)
    with pytest.raises(UsageError, match="lower end"):
        Limit(COST, 15.0, 16.0)
    # between two costs that occur
    with pytest.raises(UsageError, match=r"limit\.macs=\[13\.1,13\.2\] is met by no architecture"):
        FeasiblePaths(SIZES, [Limit(COST, 13.2, 13.1)])
