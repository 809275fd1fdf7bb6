"""Scores of paths: right, repeatable, and without a trace in the training run."""

from __future__ import annotations

import itertools
import math
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.datasets.digits import Digits
from src.samplers.strict_fair import StrictFair
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.nas_bench_macro import NasBenchMacro
from src.search_spaces.space import SearchSpace
from src.supernet.bn_protocols import BNProtocol
from src.supernet.dependences import tables
from src.supernet.evaluator import Batches, Evaluator, Score, ScoringSettings, split_paths
from src.supernet.inter_choice import Attention, Bias, InterChoice, SharedBias, Split, split_weights
from src.supernet.prefix_walk import PrefixWalk
from src.supernet.segment import Segment
from src.supernet.supernet import Supernet
from tests.search_spaces.examples import ShortProxyless

CPU = torch.device("cpu")
PATHS: list[tuple[int, ...]] = [(0, 1, 2, 0, 1), (2, 2, 2, 2, 2), (1, 1, 1, 1, 1)]


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


@pytest.fixture
def net() -> Supernet:
    torch.manual_seed(0)
    return Mini().build(1, 10, 8)


def test_running_scores_are_plain_accuracy_and_loss(digits: Digits, net: Supernet) -> None:
    score = Evaluator(net, digits, CPU, "running", ScoringSettings(batch_size=100)).score(PATHS[0])
    (batch,) = digits.batches("val", 1000, CPU)
    net.eval()
    with torch.no_grad():
        logits = net(batch.images, PATHS[0])
    assert score.accuracy == (logits.argmax(1) == batch.labels).double().mean().item()
    assert score.loss == pytest.approx(F.cross_entropy(logits, batch.labels).item(), rel=1e-5)


def test_a_temperature_divides_the_logits_of_the_loss(digits: Digits, net: Supernet) -> None:
    plain = Evaluator(net, digits, CPU, "running", ScoringSettings(batch_size=100)).score(PATHS[0])
    warm = Evaluator(net, digits, CPU, "running", ScoringSettings(batch_size=100, temperature=2.5)).score(PATHS[0])
    (batch,) = digits.batches("val", 1000, CPU)
    net.eval()
    with torch.no_grad():
        log_odds = (net(batch.images, PATHS[0]) / 2.5).log_softmax(1)
    assert warm.accuracy == plain.accuracy
    assert warm.loss == pytest.approx(-log_odds.gather(1, batch.labels[:, None]).mean().item(), rel=1e-5)


@pytest.mark.parametrize("protocol", ["running", "batch", "adapt", "recalibrate"])
def test_a_score_does_not_depend_on_what_was_scored_before(digits: Digits, net: Supernet, protocol: str) -> None:
    def scores(order: list[tuple[int, ...]]) -> dict[tuple[int, ...], Score]:
        return dict(Evaluator(net, digits, CPU, protocol, ScoringSettings(100, 100)).scores(order))

    assert scores(PATHS) == scores(PATHS[::-1])


def test_a_path_is_scored_once_until_forgotten(digits: Digits, net: Supernet) -> None:
    evaluator = Evaluator(net, digits, CPU, "running", ScoringSettings(images=50))
    with mock.patch.object(net, "forward", wraps=net.forward) as forward:
        first = evaluator.score(PATHS[0])
        calls = forward.call_count
        assert evaluator.score(PATHS[0]) == first
        assert forward.call_count == calls
        evaluator.forget()
        evaluator.score(PATHS[0])
        assert forward.call_count == 2 * calls


def test_scoring_draws_from_no_generator(digits: Digits, net: Supernet) -> None:
    sampler = StrictFair((3,) * 5)
    before, plans = torch.get_rng_state(), sampler.state_dict()["generator"]
    for protocol in ("running", "recalibrate"):
        list(Evaluator(net, digits, CPU, protocol, ScoringSettings(images=50, calibration_images=50)).scores(PATHS))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(plans, sampler.state_dict()["generator"])


@pytest.mark.parametrize(("protocol", "forwards"), [("running", 0), ("batch", 0), ("adapt", 20), ("recalibrate", 2)])
def test_calibration_forwards(protocol: str, forwards: int, digits: Digits, net: Supernet) -> None:
    evaluator = Evaluator(net, digits, CPU, protocol, ScoringSettings(images=50, calibration_images=100, batch_size=50))
    with mock.patch.object(net, "forward", wraps=net.forward) as forward:
        evaluator.score(PATHS[0])
    assert forward.call_count == forwards + 1


def test_images_counts_what_there_is(digits: Digits, net: Supernet) -> None:
    assert Evaluator(net, digits, CPU, "running", ScoringSettings(images=10**6)).images == digits.size("val")
    assert Evaluator(net, digits, CPU, "running", ScoringSettings(images=30)).images == 30


def test_batches_too_large_to_keep_are_loaded_again_and_are_the_same(digits: Digits) -> None:
    in_memory = Batches(digits, "val", 100, CPU, 250)
    with mock.patch.object(Batches, "KEPT_BYTES", 0):
        loaded = Batches(digits, "val", 100, CPU, 250)
    for _ in range(2):
        for mine, theirs in zip(in_memory, loaded, strict=True):
            assert torch.equal(mine.images, theirs.images)
            assert torch.equal(mine.labels, theirs.labels)


SHARED: dict[str, tuple[SearchSpace, InterChoice]] = {
    "mini": (Mini(), InterChoice()),
    "mini, bias": (Mini(), Bias(2)),
    "mini, shared bias": (Mini(), SharedBias(1)),
    "mini, attention": (Mini(), Attention(1)),
    "mini, split": (Mini(), Split()),
    "macro": (NasBenchMacro(channels=(8, 8, 12), strides=(1, 2, 1)), InterChoice()),
    "proxyless": (
        ShortProxyless(channels=(8, 8, 8, 8, 8, 8), stem_stride=1, strides=(1, 1, 1, 1, 2, 1)),
        InterChoice(),
    ),
    "cells": (NasBench201(cells=1), InterChoice()),
    "cells without affine, bias by what feeds an edge": (NasBench201(cells=2, affine=False), Bias(2, "true")),
    "cells, split": (NasBench201(cells=1, subset="no_none", linear_transformer=True), Split(predecessors="true")),
}


def trained(space: SearchSpace, inter_choice: InterChoice, digits: Digits) -> Supernet:
    """A net whose weights, tables, copies and running statistics all differ from fresh ones."""
    torch.manual_seed(0)
    net = space.build(1, 10, 8).to(memory_format=torch.channels_last)
    inter_choice.attach(net, torch.zeros(2, 1, 8, 8))
    if isinstance(inter_choice, Split):
        split_weights(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for table in tables(net):
            table.normal_()
        (batch,) = digits.batches("test", 200, CPU, 200)
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            net(batch.images, space.sample(generator))
    return net


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        *itertools.product(SHARED, ["running", "recalibrate"]),
        *itertools.product(["mini", "cells"], ["batch", "adapt"]),
        *(
            pytest.param(name, protocol, marks=pytest.mark.slow)
            for name in SHARED
            for protocol in ("batch", "adapt")
            if name not in ("mini", "cells")
        ),
    ],
)
def test_shared_prefixes_give_the_bits_of_one_path_at_a_time(
    name: str, protocol: str, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.supernet.evaluator.ADAPT_FORWARDS", 5)  # goes round the 2 calibration batches
    space, inter_choice = SHARED[name]
    net = trained(space, inter_choice, digits)
    paths = [*space.sample_distinct(6, torch.Generator().manual_seed(1))] * 2  # each twice
    settings: Any = {"images": 110, "calibration_images": 70, "batch_size": 40}
    alone = Evaluator(net, digits, CPU, protocol, ScoringSettings(**settings))
    plain = {path: alone.score(path) for path in paths}
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for activation_bytes in (2**30, 1):  # all batches at once, and each in a group of its own
        shared = Evaluator(net, digits, CPU, protocol, ScoringSettings(activation_bytes=activation_bytes, **settings))
        scores = list(shared.scores(paths))
        assert len(scores) == 6
        assert dict(scores) == plain
        assert shared.block_evaluations == len({path[:end] for path in paths for end in range(1, len(path) + 1)})
    assert len(set(plain.values())) > 3
    assert net.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("seed", [0, 1])
def test_statistics_are_kept_over_blocks_of_paths(seed: int, digits: Digits, net: Supernet) -> None:
    paths = Mini().sample_distinct(30, torch.Generator().manual_seed(seed))
    settings: Any = {"images": 60, "calibration_images": 60, "batch_size": 20}
    whole = dict(Evaluator(net, digits, CPU, "recalibrate", ScoringSettings(**settings)).scores(paths))
    with mock.patch("src.supernet.prefix_walk.PATHS_AT_A_TIME", 7):
        parts = dict(
            Evaluator(net, digits, CPU, "recalibrate", ScoringSettings(activation_bytes=1, **settings)).scores(paths)
        )
    assert parts == whole


def test_known_scores_come_first_and_cost_nothing(digits: Digits, net: Supernet) -> None:
    evaluator = Evaluator(net, digits, CPU, "running", ScoringSettings(images=50))
    first = evaluator.score(PATHS[1])
    scores = list(evaluator.scores(PATHS))
    assert scores[0] == (PATHS[1], first)
    assert [path for path, _ in scores[1:]] == sorted([PATHS[0], PATHS[2]])
    done = evaluator.block_evaluations
    assert dict(evaluator.scores(PATHS)) == dict(scores)
    assert evaluator.block_evaluations == done == 10


def test_a_ranking_that_is_broken_off_leaves_the_net_as_it_was(digits: Digits, net: Supernet) -> None:
    before = {key: value.clone() for key, value in net.state_dict().items()}
    scores = Evaluator(net, digits, CPU, "recalibrate", ScoringSettings(images=50, calibration_images=50)).scores(PATHS)
    next(scores)
    scores.close()  # type: ignore[attr-defined]
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.training


def test_all_of_macro_is_9840_block_evaluations() -> None:
    def segment(layer: int) -> Segment:
        return Segment(layer + 1, lambda x, path: 3 * x + path[layer], lambda _: [], is_block=True)

    with BNProtocol(nn.Identity(), "running") as bn:
        walk = PrefixWalk([segment(layer) for layer in range(8)], bn, 2**30)
        paths = list(itertools.product(range(3), repeat=8))
        first_logits = {path: int(logits[0]) for path, logits in walk.run(paths, [], lambda: [torch.zeros(1)])}
    assert walk.block_evaluations == 9840
    assert first_logits == {path: i for i, path in enumerate(paths)}


@pytest.mark.parametrize("ranks", [1, 3, 7])
def test_shards_are_all_paths_once_in_order(ranks: int) -> None:
    paths = Mini().sample_distinct(50, torch.Generator().manual_seed(0))
    parts = [split_paths([*paths, *paths], rank, ranks) for rank in range(ranks)]
    assert [path for part in parts for path in part] == sorted(paths)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_the_activation_budget_counts_all_that_is_alive(digits: Digits, net: Supernet) -> None:
    (batch,) = digits.batches("val", 50, CPU, 50)
    shapes = [(8, 8, 8), (8, 8, 8), (8, 8, 8), (12, 4, 4), (12, 4, 4), (12, 4, 4), (10,)]
    expected = 4 * 50 * sum(math.prod(shape) for shape in shapes)
    with BNProtocol(net, "running") as bn, torch.no_grad():
        for fits in (1, 3):
            walk = PrefixWalk(net.segments(), bn, fits * expected)
            assert walk.batches_at_a_time((1, 1, 1, 1, 1), batch.images) == fits
