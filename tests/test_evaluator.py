"""Scores of paths: right, repeatable, and without a trace in the training run."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from src.datasets.digits import Digits
from src.evaluator import Batches, Evaluator, Score
from src.samplers.strict_fair import StrictFair
from src.search_spaces.mini import Mini

CPU = torch.device("cpu")
PATHS: list[tuple[int, ...]] = [(0, 1, 2, 0, 1), (2, 2, 2, 2, 2), (1, 1, 1, 1, 1)]


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Mini().build(1, 10, 8)


def test_running_scores_are_plain_accuracy_and_loss(digits: Digits, net: nn.Module) -> None:
    score = Evaluator(net, digits, CPU, "running", batch_size=100).score(PATHS[0])
    (batch,) = digits.batches("val", 1000, CPU)
    net.eval()
    with torch.no_grad():
        logits = net(batch.images, PATHS[0])
    assert score.accuracy == (logits.argmax(1) == batch.labels).double().mean().item()
    assert score.loss == pytest.approx(F.cross_entropy(logits, batch.labels).item(), rel=1e-5)


@pytest.mark.parametrize("protocol", ["running", "batch", "adapt", "recalibrate"])
def test_a_score_does_not_depend_on_what_was_scored_before(digits: Digits, net: nn.Module, protocol: str) -> None:
    def scores(order: list[tuple[int, ...]]) -> dict[tuple[int, ...], Score]:
        return dict(Evaluator(net, digits, CPU, protocol, images=100, calibration_images=100).scores(order))

    assert scores(PATHS) == scores(PATHS[::-1])


def test_a_path_is_scored_once_until_forgotten(digits: Digits, net: nn.Module) -> None:
    evaluator = Evaluator(net, digits, CPU, "running", images=50)
    with mock.patch.object(net, "forward", wraps=net.forward) as forward:
        first = evaluator.score(PATHS[0])
        calls = forward.call_count
        assert evaluator.score(PATHS[0]) == first
        assert forward.call_count == calls
        evaluator.forget()
        evaluator.score(PATHS[0])
        assert forward.call_count == 2 * calls


def test_scoring_draws_from_no_generator(digits: Digits, net: nn.Module) -> None:
    sampler = StrictFair((3,) * 5)
    before, plans = torch.get_rng_state(), sampler.state_dict()["generator"]
    for protocol in ("running", "recalibrate"):
        list(Evaluator(net, digits, CPU, protocol, images=50, calibration_images=50).scores(PATHS))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(plans, sampler.state_dict()["generator"])


def test_images_counts_what_there_is(digits: Digits, net: nn.Module) -> None:
    assert Evaluator(net, digits, CPU, "running", images=10**6).images == digits.size("val")
    assert Evaluator(net, digits, CPU, "running", images=30).images == 30


def test_batches_too_large_to_keep_are_loaded_again_and_are_the_same(digits: Digits) -> None:
    kept = Batches(digits, "val", 100, CPU, 250)
    with mock.patch.object(Batches, "KEPT_BYTES", 0):
        loaded = Batches(digits, "val", 100, CPU, 250)
    for _ in range(2):
        for mine, theirs in zip(kept, loaded, strict=True):
            assert torch.equal(mine.images, theirs.images)
            assert torch.equal(mine.labels, theirs.labels)
