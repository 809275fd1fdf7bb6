from collections import Counter

import numpy as np
import pytest

from src.searchers.controller import Controller
from src.searchers.moremnas import MoreMnas
from src.searchers.mutation import Mutation, Prior, Roulette, Uniform
from src.searchers.path_costs import Additive
from tests.searchers import toy


def test_branches_come_as_often_as_the_paper_says() -> None:
    searcher = toy.make("moremnas", toy.problem())
    assert isinstance(searcher, MoreMnas)
    toy.generation(searcher)
    draws = 4000
    counts = Counter[type[Mutation]](type(searcher.mutation()) for _ in range(draws))
    expected: dict[type[Mutation], float] = {Uniform: 0.2, Controller: 0.65 * 0.7, Roulette: 0.65 * 0.3, Prior: 0.15}
    for kind, share in expected.items():
        assert counts[kind] / draws == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / draws))


def test_nsga2_rl_mutates_by_the_controller_alone() -> None:
    searcher = toy.make("nsga2_rl", toy.problem())
    assert isinstance(searcher, MoreMnas)
    assert {type(searcher.mutation()) for _ in range(200)} == {Controller}


def test_the_controller_learns_from_what_it_drew_alone() -> None:
    searcher = toy.make("nsga2_rl", toy.problem(), mutation_ratio=0.0)
    assert isinstance(searcher, MoreMnas)
    before = {name: value.clone() for name, value in searcher.controller.policy.state_dict().items()}
    for _ in range(3):
        toy.generation(searcher)
    assert all(value.equal(before[name]) for name, value in searcher.controller.policy.state_dict().items())


def test_what_a_limit_changed_is_not_the_controllers() -> None:
    searcher = toy.make("nsga2_rl", toy.problem(most=6.0), mutation_ratio=1.0, layer_probability=1.0)
    assert isinstance(searcher, MoreMnas)
    toy.generation(searcher)
    children = searcher.ask()
    drawn = np.stack([searcher.drawn[child] for child in children if child in searcher.drawn])
    assert drawn.any()
    assert not drawn.all()


def test_roulette_prefers_what_is_cheap() -> None:
    roulette = Roulette(Additive("macs", 0.0, ((0.0, 5.0, 10.0), (1.0, 1.0))), (3, 2))
    weights = roulette.probabilities((0, 0), 0)
    np.testing.assert_allclose(weights, np.array([10.5, 5.5, 0.5]) / 16.5)
    np.testing.assert_allclose(roulette.probabilities((0, 0), 1), [0.5, 0.5])


def test_the_prior_follows_the_elite_and_forgets_nothing() -> None:
    prior = Prior((3, 2), [(2, 0), (2, 1), (0, 1), (2, 1)])
    np.testing.assert_allclose(prior.probabilities((0, 0), 0), np.array([2, 1, 4]) / 7)
    np.testing.assert_allclose(prior.probabilities((0, 0), 1), np.array([2, 4]) / 6)


def test_a_mutation_touches_the_given_layers_alone() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert Uniform(toy.SIZES)((0,) * 7, [2, 5], rng)[:2] == (0, 0)
    changed = [Uniform(toy.SIZES)((0,) * 7, [2, 5], rng) for _ in range(50)]
    assert {path[0] for path in changed} | {path[6] for path in changed} == {0}
    assert {path[2] for path in changed} == {0, 1, 2, 3}
