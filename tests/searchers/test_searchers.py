"""Laws of every searcher: within the limits, nothing scored twice, a state that is all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from src.analysis.pareto import hypervolume
from src.runtime.errors import UsageError
from src.supernet.path import ArchPath
from tests.searchers import toy


@pytest.mark.parametrize("name", toy.NAMES)
def test_asks_within_the_limits_alone(name: str) -> None:
    searcher = toy.make(name, toy.problem(most=7.0), population=16)
    for _ in range(5):
        assert all(toy.MACS(path) <= 7 for path in toy.generation(searcher))


@pytest.mark.parametrize("name", [name for name in toy.NAMES if name != "mnasnet_rl"])
def test_asks_for_every_path_once_at_most(name: str) -> None:
    searcher = toy.make(name, toy.problem(), population=16)
    asked = [path for _ in range(12) for path in toy.generation(searcher)]
    assert len(asked) == len(set(asked)) > 100


@pytest.mark.parametrize("name", toy.NAMES)
def test_goes_on_from_its_state_as_if_nothing_had_happened(name: str) -> None:
    searcher = toy.make(name, toy.problem(), population=16)
    for _ in range(3):
        toy.generation(searcher)
    again = toy.make(name, toy.problem(), population=16)
    again.load_state_dict(searcher.state_dict())
    assert [toy.generation(again) for _ in range(3)] == [toy.generation(searcher) for _ in range(3)]


@pytest.mark.parametrize("name", toy.NAMES)
def test_seeds_differ_and_repeat(name: str) -> None:
    asked = [toy.make(name, toy.problem(seed), population=16).ask() for seed in (0, 0, 1)]
    assert asked[0] == asked[1] != asked[2]


@pytest.mark.parametrize("name", ["nsga2", "nsga2_rl", "moremnas"])
def test_finds_more_of_a_known_front_than_random_search(name: str) -> None:
    found, chance = (share_of_the_front(searcher, 320) for searcher in (name, "random_search"))
    assert found > 0.95
    assert found > chance + 0.03


def test_spos_evolution_finds_the_most_accurate_path_within_its_limit() -> None:
    searcher = toy.make("spos_evolution", toy.problem(most=8.0))
    asked = [path for _ in range(14) for path in toy.generation(searcher)]
    best = max(toy.accuracy(path) for path in toy.every_path() if toy.MACS(path) <= 8)
    assert max(map(toy.accuracy, asked)) == best


def test_a_space_that_is_used_up_is_asked_nothing_more() -> None:
    searcher = toy.make("random_search", toy.problem(most=2.0))
    assert len(toy.generation(searcher)) == 8  # the cheapest path, and one step in one of seven layers
    assert toy.generation(searcher) == []


def test_random_search_comes_to_every_path_in_the_end() -> None:
    searcher = toy.make("random_search", toy.problem(most=4.0), population=50)
    asked = [path for _ in range(4) for path in toy.generation(searcher)]
    assert len(asked) == len(set(asked)) == sum(toy.MACS(path) <= 4 for path in toy.every_path())


def share_of_the_front(name: str, models: int) -> float:
    """Of the true front's hypervolume, the mean of two seeds."""
    return float(np.mean([_share(name, models, seed) for seed in range(2)]))


def _share(name: str, models: int, seed: int) -> float:
    searcher = toy.make(name, toy.problem(seed), population=40)
    seen: list[ArchPath] = []
    while len(seen) < models:
        seen += toy.generation(searcher)
    true = toy.true_front()
    low, span = true.min(0), np.ptp(true, axis=0)
    return hypervolume((toy.values(seen[:models]) - low) / span) / hypervolume((true - low) / span)


@pytest.mark.parametrize(
    "name, changes, line",
    [
        ("random_search", {"population": 1}, "searcher.population=1"),
        ("nsga2", {"mutation_ratio": 1.5}, "searcher.mutation_ratio=1.5"),
        ("moremnas", {"random": 0.5}, "add up to 1"),
        ("moremnas", {"ppo.clip": 0}, "searcher.ppo.clip=0"),
        ("moremnas", {"ppo.momentum": 0.9}, "the keys are lr"),
        ("moremnas", {"ppo.epochs": 1.5}, "searcher.ppo.epochs=1.5: give a whole number above 0"),
        ("nsga2_rl", {"ppo.entropy": "abc"}, "searcher.ppo.entropy=abc"),
        ("mnasnet_rl", {"ppo.gae_lambda": "null"}, "from 0 to 1"),
        ("mnasnet_rl", {"ppo.lr": "true"}, "searcher.ppo.lr=True"),
        ("spos_evolution", {"parents": 0}, "searcher.parents=0"),
        ("spos_evolution", {"crossover": 40, "mutation": 11}, "more than searcher.population=50"),
        ("mnasnet_rl", {"target": -1}, "searcher.target=-1"),
        ("mnasnet_rl", {"exponent": 0.07}, "searcher.exponent=0.07"),
    ],
)
def test_bad_settings_are_refused(name: str, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        toy.make(name, toy.problem(), **changes)
