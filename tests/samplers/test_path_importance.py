"""Paths by importance: the distributions, their weights, the decks, and what is learnt from which norms."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.samplers.importance import RunningMean, Smoothing, deck_counts, smoothed, systematic
from src.samplers.observation import GradientNorms, Observation
from src.samplers.path_importance import PathImportance
from src.samplers.plan import Plan, Update
from src.samplers.sampler import PlannedRun
from src.samplers.strict_fair import StrictFair
from src.samplers.uniform import Uniform
from src.search_spaces.mini import Mini
from src.search_spaces.mobilenet import MobileNetB, Proxyless
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet
from tests.training.short_training import train

DIGITS = InputSpec(1, 10, 8)


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def prepared(space: SearchSpace, epochs: float = 10.0, seed: int = 3, **settings: Any) -> PathImportance:
    sampler = PathImportance(space.sizes, seed, **settings)
    sampler.prepare(space, small_net(space), PlannedRun(100, epochs, space.reference))
    return sampler


def small_net(space: SearchSpace) -> Supernet:
    return space.build(*space.reference)


def told(
    sampler: PathImportance, path: ArchPath, sums: list[float], whole: float, factor: float = 1.0, **where: Any
) -> None:
    """Let the sampler observe an update of one path, with the norms of its operations in ascending order."""
    ops = tuple(sorted(sampler.candidates.net.operations(path)))
    norms = GradientNorms(ops, doubles(*sums).square(), doubles(*sums), doubles(whole)[0], doubles(factor)[0])
    at = {"step": 0, "epoch": 0, "end_of_epoch": False} | where
    update = where.get("update", Update((path,)))
    observation = Observation(at["step"], at["epoch"], at["end_of_epoch"], update, doubles(0), doubles(0), norms)
    sampler.observe(observation)


class Recorded(PathImportance):
    """Keeps its state before each plan, and what it observes."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.states: list[dict[str, Any]] = []
        self.seen: list[Observation] = []

    def plan(self) -> Plan:
        self.states.append(self.state_dict())
        return super().plan()

    def observe(self, observation: Observation) -> None:
        self.seen.append(observation)
        super().observe(observation)


# distributions


def test_importance_and_a_uniform_share_make_a_distribution() -> None:
    p = smoothed(doubles(0, 0, 1, 3, 0), 0.5)
    torch.testing.assert_close(p, doubles(0.1, 0.1, 0.225, 0.475, 0.1))
    generator = torch.Generator().manual_seed(0)
    for delta in (0.0, 0.3, 1.0):
        p = smoothed(torch.rand(7, generator=generator, dtype=torch.float64), delta)
        assert p.sum().item() == pytest.approx(1)
        assert p.min() >= (1 - delta) / 7 - 1e-15
    # nothing learnt, or nothing asked: uniform to the last bit
    assert torch.equal(smoothed(doubles(0, 0, 0), 0.5), doubles(1, 1, 1) / 3)
    assert torch.equal(smoothed(doubles(1, 2, 9), 0.0), doubles(1, 1, 1) / 3)


def test_the_share_grows_by_epochs() -> None:
    smoothing = Smoothing(0.0, 1.0, epochs=250)
    assert [smoothing.after(epoch) for epoch in (0, 125, 248)] == [0.0, 0.5, 248 / 250]
    # the last epoch draws with that of the epoch before
    assert smoothing.largest == 248 / 250
    assert Smoothing(0.5, 0.5, 3).largest == 0.5


def test_a_running_mean_starts_at_zero_or_free_of_it() -> None:
    mean = RunningMean(2, 0.5)
    for value in (4.0, 8.0):
        mean.add(doubles(value, value), torch.tensor([True, False]))
    assert mean.values.tolist() == [5.0, 0.0]
    torch.testing.assert_close(mean.unbiased, doubles(20 / 3, 0))
    assert mean.seen.tolist() == [True, False]


def test_systematic_draws_are_floor_or_ceiling_with_the_right_mean() -> None:
    expected = doubles(0.3, 1.7, 0.0, 2.5, 0.5)
    draws = torch.stack([systematic(expected, (i + 0.5) / 1000) for i in range(1000)])
    assert (draws.sum(1) == 5).all()
    assert ((draws >= expected.floor()) & (draws <= expected.ceil())).all()
    torch.testing.assert_close(draws.double().mean(0), expected, atol=2e-3, rtol=0)
    # whole numbers leave nothing to chance
    assert all(systematic(doubles(1, 1, 1), offset).tolist() == [1, 1, 1] for offset in (0.0, 0.3, 0.999))


@pytest.mark.parametrize("cards", [3, 4, 7, 30])
def test_a_deck_deals_every_choice_and_floor_or_ceiling_of_its_share(cards: int) -> None:
    for p in (doubles(0.9, 0.05, 0.05), doubles(0.5, 0.3, 0.2), doubles(1, 1, 1) / 3):
        raised = torch.maximum(cards * p, torch.ones(3))
        for offset in (0.0, 0.25, 0.5, 0.99):
            hand = deck_counts(p, cards, offset)
            assert hand.sum() == cards
            assert hand.min() >= 1
            # where no choice had to be raised to a card of its own
            if (cards * p >= 1).all():
                assert ((hand - raised).abs() < 1).all()


# draws


@pytest.mark.parametrize("space", [Mini(), NasBench201(cells=1), NasBench1Shot1(variant=1)])
def test_uniform_probabilities_draw_as_spos_does(space: SearchSpace) -> None:
    sampler, spos = prepared(space), Uniform(space.sizes, seed=3)
    assert [sampler.plan() for _ in range(20)] == [spos.plan() for _ in range(20)]


def test_paths_are_drawn_with_their_probabilities() -> None:
    sampler = prepared(NasBench201(cells=1))
    sampler.probabilities[0] = doubles(0.1, 0.1, 0.225, 0.475, 0.1)
    drawn = [sampler.plan()[0].routes[0] for _ in range(2000)]
    for edge in range(6):
        shares = torch.bincount(torch.tensor([path[edge] for path in drawn]), minlength=5) / 2000
        torch.testing.assert_close(shares.double(), sampler.probabilities[0], atol=0.04, rtol=0)


def test_parents_stay_uniform() -> None:
    sampler = prepared(NasBench1Shot1(variant=1), smoothing_start=1.0)
    learning = [group for group in sampler.candidates.groups if group.candidates is not None]
    assert [group.layers for group in learning] == [(0, 1, 2, 3)]
    assert sampler.candidates.has_parameters.tolist() == [False, True, True]
    path = (1, 1, 1, 2, 0, 0, 0)
    told(sampler, path, [1.0] * len(sampler.candidates.net.operations(path)), 2.0, end_of_epoch=True)
    assert [len(p.unique()) == 1 for p in sampler.probabilities] == [False, True, True, True]


def test_a_deck_of_m_cards_is_strict_fairness_whatever_was_learnt() -> None:
    space = Mini()
    sampler, fair = prepared(space, deck=True), StrictFair(space.sizes, seed=3)
    assert [sampler.plan() for _ in range(9)] == [fair.plan() for _ in range(9)]
    sampler.probabilities[2] = doubles(0.8, 0.1, 0.1)
    assert [sampler.plan() for _ in range(9)] == [fair.plan() for _ in range(9)]


def test_a_deck_of_m_cards_has_each_choice_once_for_any_share() -> None:
    for size in range(2, 9):
        for zeros in (0, 1):
            g = torch.ones(size, dtype=torch.float64)
            g[:zeros] = 0
            for step in range(0, 1001, 7):
                assert deck_counts(smoothed(g, step / 1000), size, 0.0).tolist() == [1] * size


def test_a_larger_deck_deals_by_importance() -> None:
    sampler = prepared(Mini(), deck=True, deck_paths=10)
    sampler.probabilities[2] = doubles(0.6, 0.25, 0.15)
    assert sampler.passes_per_step == 10
    for _ in range(30):
        (update,) = sampler.plan()
        columns = [Counter(column) for column in zip(*update.routes, strict=True)]
        assert columns[2][0] == 6 and columns[2][1] in (2, 3) and columns[2][2] in (1, 2)
        assert all(sorted(columns[layer].values()) == [3, 3, 4] for layer in (0, 1, 3, 4))


# weights


def without_norms(space: SearchSpace) -> Supernet:
    """A supernet of mini in float64 without batch norm, where a path's gradient does not depend on other images."""
    torch.manual_seed(0)
    net = small_net(space).double()
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            net.set_submodule(name, nn.Identity())
    return net


def gradients_of_all_paths() -> tuple[list[ArchPath], Tensor]:
    """All 243 paths of mini and their whole gradients (A, P), zeros where a path has no gradient."""
    space = Mini()
    net, generator = without_norms(space), torch.Generator().manual_seed(1)
    images = torch.randn(6, 1, 8, 8, generator=generator, dtype=torch.float64)
    labels, rows = torch.randint(10, (6,), generator=generator), []
    for path in space.paths():
        net.zero_grad()
        F.cross_entropy(net(images, path), labels).backward()
        rows.append(
            torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in net.parameters()])
        )
    return list(space.paths()), torch.stack(rows)


def test_weighted_gradients_have_the_uniform_mean_and_importance_their_least_variance() -> None:
    paths, gradients = gradients_of_all_paths()
    sampler = prepared(Mini(), correction="path", smoothing_end=0.5)
    generator = torch.Generator().manual_seed(2)
    sampler.probabilities = [smoothed(torch.rand(3, generator=generator, dtype=torch.float64), 0.5) for _ in range(5)]
    p = doubles(*(math.prod(float(q[c]) for q, c in zip(sampler.probabilities, a, strict=True)) for a in paths))
    weights = doubles(*(sampler.weight(path) for path in paths))
    # the mean over all draws
    torch.testing.assert_close(((p * weights)[:, None] * gradients).sum(0), gradients.mean(0))

    # the update says so
    update = sampler.plan()[0]
    assert update.weights == (sampler.weight(update.routes[0]),)  # type: ignore[arg-type]

    # variance of the weighted estimate under p: its mean square is the sum of G^2 / p over A^2
    squares = gradients.square().sum(1)

    def mean_square(q: Tensor) -> float:
        return float((squares / q).sum() / len(paths) ** 2)

    uniform = torch.full((243,), 1 / 243, dtype=torch.float64)
    # over whole paths the best draw is in proportion to G, and its mean square (sum of G)^2 / A^2
    best = squares.sqrt() / squares.sqrt().sum()
    assert mean_square(best) == pytest.approx(float(squares.sqrt().sum().square()) / 243**2)
    assert mean_square(best) < min(mean_square(p), mean_square(uniform))
    # what path_rms learns from all paths at once: the root mean square of the paths that have a choice
    learning = prepared(Mini(), statistic="path_rms", measured="before_clip", smoothing_start=1.0, smoothing_end=1.0)
    rows = torch.zeros(len(paths), 17, dtype=torch.float64)
    rows[:, 15], rows[:, 16] = squares.sqrt(), 1
    used = torch.stack([torch.tensor([path[i // 3] == i % 3 for i in range(15)]) for path in paths])
    learning.norms.resumed, learning.norms.reset = {"rows": rows, "used": used}, False
    learning.norms.squared.memory = 1 - 1e-7  # next to the plain mean
    learning.norms.learn()
    rms = learning.norms.importances("path_rms", "floor").view(5, 3)
    for layer in range(5):
        choices = torch.tensor([path[layer] for path in paths])
        wanted = torch.stack([squares[choices == choice].mean().sqrt() for choice in range(3)])
        torch.testing.assert_close(rms[layer], wanted, rtol=1e-4, atol=0)
        # one layer at a time it lowers the variance, where the norms differ at all
        assert mean_square(smoothed(rms[layer], 1.0)[choices] / 81) < mean_square(uniform)


def test_marginal_weights_give_every_operation_an_equal_share() -> None:
    sampler = prepared(NasBench201(cells=1), correction="marginal", smoothing_end=0.5)
    assert all(scale == 1 for _, scale in sampler.plan()[0].op_scales or ())
    sampler.probabilities[0] = p = doubles(0.1, 0.1, 0.225, 0.475, 0.1)
    (update,) = sampler.plan()
    assert update.weights is None and update.op_scales is not None
    assert dict(update.op_scales) == {(i, c): 1 / (5 * float(p[c])) for i, c in enumerate(update.routes[0])}
    # of a deck: by the cards that were dealt
    deck = prepared(Mini(), deck=True, deck_paths=6, correction="marginal", smoothing_end=0.5)
    deck.probabilities[0] = doubles(0.5, 1 / 3, 1 / 6)
    scales = dict(deck.plan()[0].op_scales or ())
    assert [scales[0, choice] for choice in range(3)] == pytest.approx([6 / 9, 1, 2])
    assert len(scales) == 15


# learning


def test_own_norms_are_learnt_by_operation_from_zero_each_epoch() -> None:
    # nor_conv_1x1 on two edges, nor_conv_3x3 on one, the others without parameters
    sampler, path = prepared(NasBench201(cells=1), smoothing_start=0.5, smoothing_end=0.5), (2, 2, 3, 1, 4, 0)
    told(sampler, path, [3.0, 5.0, 9.0, 0, 0, 0], 11.0)
    told(sampler, path, [8.0, 8.0, 0.0, 0, 0, 0], 11.0, end_of_epoch=True)
    # means over edges 4 and 8 give (0 + 4) / 2, then 5; a norm of 0 is left out
    g = sampler.norms.importances("own_sum", "floor")
    assert g.tolist() == [0, 0, 5.0, 4.5, 0]
    torch.testing.assert_close(sampler.probabilities[0], smoothed(g, 0.5))
    rows = {(row["figure"], row.get("choice")): row["value"] for row in sampler.epoch_rows(torch.zeros(1))}
    assert rows["draws", 2] == 4 and rows["draws", 0] == 2
    assert rows["parameter_free_share", None] == 0.5
    assert rows["probability", 3] == 0.2 and rows["importance", 3] == 4.5
    # the next epoch begins anew
    told(sampler, path, [2.0, 2.0, 0.0, 0, 0, 0], 1.0, epoch=1, end_of_epoch=True)
    assert sampler.norms.importances("own_sum", "floor").tolist() == [0, 0, 1.0, 0, 0]


def test_norms_are_those_after_clipping_or_before_and_without_the_weight_of_the_loss() -> None:
    path = (2, 2, 2, 2, 2, 2)
    for measured, value in (("after_clip", 0.5), ("before_clip", 2.0)):
        sampler = prepared(NasBench201(cells=1), measured=measured)
        told(sampler, path, [4.0] * 6, 8.0, factor=0.25, end_of_epoch=True)
        assert sampler.norms.importances("own_sum", "floor")[2] == pytest.approx(value)
    sampler = prepared(NasBench201(cells=1), statistic="path_rms", measured="before_clip", reset=False)
    told(sampler, path, [4.0] * 6, 8.0, end_of_epoch=True, update=Update((path,), weights=(2.0,)))
    # the whole norm, 8 / 2, credited to the choice; those never seen have the mean of the others
    assert sampler.norms.importances("path_rms", "floor").tolist() == pytest.approx([4.0] * 5)


def test_choices_without_parameters_have_what_the_option_says() -> None:
    sampler = prepared(NasBench201(cells=1), reset=False, memory=0.0)
    told(sampler, (2, 2, 2, 2, 2, 1), [6.0] * 5 + [0.0], 3.0)
    told(sampler, (3, 3, 3, 3, 3, 4), [2.0] * 5 + [0.0], 1.0, end_of_epoch=True)
    importances = sampler.norms.importances
    assert importances("own_sum", "floor").tolist() == pytest.approx([0, 0, 6, 2, 0])
    assert importances("own_sum", "mean").tolist() == pytest.approx([4, 4, 6, 2, 4])
    # paths with skip_connect had the norm 3, with avg_pool 1, the convolutions 2 on average; none was not seen
    assert importances("own_sum", "path_rms").tolist() == pytest.approx([0, 6, 6, 2, 2])
    assert importances("equal", "floor").tolist() == pytest.approx([0, 0, 1, 1, 0])
    assert importances("path_rms", "floor").tolist() == pytest.approx([2, 3, 3, 1, 1])


def test_layers_are_normalised_each_within_itself_and_those_without_parameters_are_uniform() -> None:
    sampler = prepared(Mini(), smoothing_start=1.0, epochs=3)
    told(sampler, (0, 1, 2, 0, 1), [2.0, 4.0, 6.0, 8.0, 10.0], 1.0)
    told(sampler, (1, 1, 2, 0, 1), [2.0, 4.0, 6.0, 8.0, 10.0], 1.0, end_of_epoch=True)
    assert sampler.probabilities[0].tolist() == [0.5, 0.5, 0.0]
    assert [p.max().item() for p in sampler.probabilities[1:]] == [1, 1, 1, 1]
    # an identity beside blocks, and layers of another size
    proxyless = prepared(Proxyless())
    sizes = {len(p) for p in proxyless.probabilities}
    assert sizes == {6, 7}
    assert (~proxyless.candidates.has_parameters).sum() == 15


def test_tied_operations_count_once_a_path() -> None:
    sampler, path = prepared(NasBench201(cells=1, share=6)), (2, 2, 2, 3, 3, 0)
    assert sorted(sampler.candidates.net.operations(path)) == [(0, 0), (0, 2), (0, 3)]
    told(sampler, path, [0.0, 6.0, 4.0], 9.0, end_of_epoch=True)
    assert sampler.norms.importances("own_sum", "floor").tolist() == [0, 0, 3, 2, 0]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"statistic": "path_rms", "reset": False, "memory": 0.9, "correction": "marginal", "smoothing_end": 0.5},
        {"correction": "path", "smoothing_end": 0.5},
        {"deck": True, "deck_paths": 7, "correction": "marginal", "smoothing_end": 0.5},
        {"statistic": "equal"},
    ],
)
@pytest.mark.parametrize("stop", [3, 4, 5])
def test_a_resumed_sampler_goes_on_exactly(settings: dict[str, Any], stop: int) -> None:
    space = NasBench201(cells=1)
    space.channels = (2, 2, 2)
    whole = Recorded(space.sizes, 3, **settings)
    whole.prepare(space, small_net(space), PlannedRun(12, 3, space.reference))
    train(space, DIGITS, sampler=whole, steps=8, epoch_steps=4)
    # another sampler takes the state before some step, and sees the same
    resumed = prepared(space, epochs=3, seed=9, **settings)
    resumed.load_state_dict(whole.states[stop])
    for observation in whole.seen[stop:]:
        assert resumed.plan()[0] == observation.update
        resumed.observe(observation)
    assert [p.tolist() for p in resumed.probabilities] == [p.tolist() for p in whole.probabilities]
    assert resumed.plan() == whole.plan()
    if settings != {"statistic": "equal"}:
        assert len(whole.probabilities[0].unique()) > 2


# what is refused


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"statistic": "norm"}, "own_sum, path_rms, equal"),
        ({"smoothing_end": 1.5}, "sampler.smoothing_end=1.5"),
        ({"memory": 1.0}, "sampler.memory=1.0"),
        ({"deck": True, "deck_paths": 2}, "give 3 or more"),
        ({"deck": True, "statistic": "path_rms"}, "sampler.statistic=own_sum"),
        ({"deck": True, "correction": "path"}, "none or marginal"),
        ({"correction": "marginal", "smoothing_start": 1.0}, "smaller sampler.smoothing_end"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prepared(Mini(), **settings)


def test_weights_beyond_bounds_nothing_to_draw_and_tied_layers_are_refused() -> None:
    with pytest.raises(UsageError, match=r"on the 19 layers of mobilenet_b a weight may reach 5\.2e\+05"):
        prepared(MobileNetB(), epochs=1e9, correction="path", smoothing_end=0.5)
    prepared(MobileNetB(), correction="marginal", smoothing_end=0.5)
    one = Mini()
    one.sizes = (1,) * 5
    with pytest.raises(UsageError, match="no layer of mini has several operations"):
        prepared(one)
    for settings in ({"granularity": "layer_op"}, {"deck": True}):
        with pytest.raises(UsageError, match=r"use search_space\.share=1"):
            prepared(NasBench201(cells=1, share=2), **settings)


def test_a_run_too_short_to_draw_by_what_it_learnt_is_refused() -> None:
    with pytest.raises(UsageError, match=r"acts from the third on: give budget\.epochs above 2"):
        prepared(Mini(), epochs=2)
    prepared(Mini(), epochs=2, smoothing_start=0.1)
    prepared(Mini(), epochs=2, smoothing_end=0.0)


def test_granularity_gives_each_edge_a_distribution_of_its_own() -> None:
    sampler = prepared(NasBench201(cells=1), granularity="layer_op")
    assert len(sampler.probabilities) == 6
    assert list(itertools.chain(*(group.layers for group in sampler.candidates.groups))) == list(range(6))
