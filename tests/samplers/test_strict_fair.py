"""The law of strict fairness (FairNAS, Definition 3) and its two extensions to irregular spaces."""

from __future__ import annotations

import math

import pytest
import torch

from src.runtime.errors import UsageError
from src.samplers.half_fair import FairSequential, UniformAccumulated
from src.samplers.sampler import Sampler
from src.samplers.strict_fair import StrictFair
from src.samplers.uniform import Uniform
from src.training.counts import Counts

IRREGULAR = (3, 2, 4, 3)


def counts_after(sampler: Sampler, steps: int) -> Counts:
    counts = Counts(sampler.sizes)
    for _ in range(steps):
        for update in sampler.plan():
            counts.add(update.routes)
    return counts


@pytest.mark.parametrize("irregular", ["deck", "pad"])
def test_every_choice_is_trained_exactly_once_in_each_step(irregular: str) -> None:
    sampler, counts = StrictFair((6,) * 19, irregular=irregular), Counts((6,) * 19)
    for step in range(1, 51):
        (update,) = sampler.plan()
        assert len(update.routes) == 6
        counts.add(update.routes)
        assert counts.values.eq(step).all()


def test_permutations_differ_from_step_to_step() -> None:
    sampler = StrictFair((5,) * 6)
    plans = [sampler.plan()[0].routes for _ in range(40)]
    assert len(set(plans)) == 40


def test_layers_are_permuted_independently_and_uniformly() -> None:
    sampler = StrictFair((3, 3))
    seen = torch.zeros(3, 3)
    for _ in range(3000):
        for first, second in sampler.plan()[0].routes:
            seen[first, second] += 1
    expected = 3000 * 3 / 9
    # Each step fills a random permutation matrix: a cell is 1 with chance 1/3, sd sqrt(3000 * 2/9) = 26.
    assert (seen - expected).abs().max() < 4.5 * math.sqrt(3000 * 2 / 9)


def test_the_same_seed_gives_the_same_plans_and_another_does_not() -> None:
    first, again, other = StrictFair((4,) * 5, seed=7), StrictFair((4,) * 5, seed=7), StrictFair((4,) * 5, seed=8)
    plans = [[s.plan()[0].routes for _ in range(5)] for s in (first, again, other)]
    assert plans[0] == plans[1] != plans[2]


def test_deck_never_lets_counts_differ_by_more_than_one_and_is_exact_at_every_lcm() -> None:
    sampler, counts = StrictFair(IRREGULAR), Counts(IRREGULAR)
    lcm, paths = math.lcm(*IRREGULAR), 0
    for _ in range(60):
        for route in sampler.plan()[0].routes:
            counts.add([route])
            paths += 1
            assert counts.spread() <= 1
            if paths % lcm == 0:
                assert counts.spread() == 0


def test_deck_neither_pads_nor_repeats_within_a_deck() -> None:
    sampler = StrictFair((4, 2))
    for _ in range(20):
        column = [route[1] for route in sampler.plan()[0].routes]
        assert sorted(column[:2]) == sorted(column[2:]) == [0, 1]


def test_pad_runs_every_choice_and_draws_the_missing_ones_without_replacement() -> None:
    sampler = StrictFair((7, 6, 4), irregular="pad")
    for _ in range(50):
        routes = sampler.plan()[0].routes
        assert len(routes) == 7
        for layer, size in enumerate((7, 6, 4)):
            times = torch.bincount(torch.tensor([route[layer] for route in routes]), minlength=size)
            assert times.min() == 1
            assert times.max() <= math.ceil(7 / size)


def test_pad_is_only_approximately_fair() -> None:
    assert counts_after(StrictFair((7, 6), irregular="pad"), 100).spread() > 1


def test_state_continues_a_half_dealt_deck() -> None:
    sampler = StrictFair(IRREGULAR, seed=3)
    for _ in range(5):
        sampler.plan()
    twin = StrictFair(IRREGULAR, seed=99)
    twin.load_state_dict(sampler.state_dict())
    assert [sampler.plan() for _ in range(8)] == [twin.plan() for _ in range(8)]


def test_state_is_a_snapshot() -> None:
    sampler = StrictFair(IRREGULAR)
    sampler.plan()
    state = sampler.state_dict()
    expected = sampler.plan()
    sampler.plan()
    sampler.load_state_dict(state)
    assert sampler.plan() == expected


def test_an_unknown_way_is_refused_with_the_options() -> None:
    with pytest.raises(UsageError, match="deck, pad"):
        StrictFair((3, 2), irregular="padd")


@pytest.mark.parametrize("sizes", [(5,) * 4, IRREGULAR])
def test_fair_sequential_trains_the_paths_of_strict_fairness_one_by_one(sizes: tuple[int, ...]) -> None:
    whole, parts = StrictFair(sizes, seed=3), FairSequential(sizes, seed=3)
    assert whole.passes_per_step == parts.passes_per_step == max(sizes)
    for _ in range(10):
        (together,), one_by_one = whole.plan(), parts.plan()
        assert tuple(update.routes for update in one_by_one) == tuple((route,) for route in together.routes)
        assert all(update.lr_scale == 1 for update in one_by_one)


def test_uniform_accumulated_adds_up_as_many_paths_without_fair_counts() -> None:
    sampler, counts = UniformAccumulated((6,) * 19), Counts((6,) * 19)
    for _ in range(20):
        (update,) = sampler.plan()
        assert len(update.routes) == 6 == sampler.passes_per_step
        counts.add(update.routes)
    assert counts.spread() > 10
    # each path is drawn by itself: all choices of a layer are equally likely, whatever the other paths take
    sampler, pairs = UniformAccumulated((3,)), torch.zeros(3, 3)
    for _ in range(3000):
        (first,), (second,), _ = sampler.plan()[0].routes
        pairs[first, second] += 1
    assert (pairs - 3000 / 9).abs().max() < 4.5 * math.sqrt(3000 * 8 / 81)


def test_uniform_accumulated_of_one_path_is_spos() -> None:
    one, spos = UniformAccumulated((3, 2, 4), seed=5, paths=1), Uniform((3, 2, 4), seed=5)
    assert [one.plan() for _ in range(9)] == [spos.plan() for _ in range(9)]


def test_uniform_accumulated_refuses_updates_of_no_path() -> None:
    with pytest.raises(UsageError, match=r"sampler\.paths=0: use 1 or more"):
        UniformAccumulated((3,), paths=0)
