"""Images by importance: scores of an epoch, draws of the next one, weights that keep the mean."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from src.datasets.orders import Shuffle
from src.runtime.errors import UsageError
from src.samplers.data_importance import DataImportance, halved
from src.samplers.observation import ImageRecord, Observation
from src.samplers.plan import Update

NOTHING = torch.zeros(0)


def record(positions: list[int], norms: list[float]) -> ImageRecord:
    return ImageRecord(torch.tensor(positions), torch.zeros(len(norms)), torch.tensor(norms), one_route(len(norms)))


def one_route(images: int) -> Tensor:
    return torch.tensor([[1, images]])


def told(order: DataImportance, positions: list[int], norms: list[float], epoch: int = 0) -> None:
    """Let the order observe the end of an epoch."""
    images = record(positions, norms)
    order.observe(Observation(0, epoch, True, Update(((0,),)), NOTHING, NOTHING, None, images))


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_repeated_images_are_halved_towards_each_score_in_turn_or_have_their_mean() -> None:
    seen = record([2, 0, 2, 0, 2], [4.0, 1.0, 8.0, 1.0, 2.0])
    values, times = halved(seen, 4)
    # ((4 + 8) / 2 + 2) / 2
    assert values.tolist() == [1.0, 0.0, 4.0, 0.0]
    assert times.tolist() == [2, 0, 3, 0]
    order = DataImportance(4, 0, epochs=3, repeats="mean")
    order.learn(seen)
    assert order.scores.tolist() == pytest.approx([1.0, 0.0, 14 / 3, 0.0])


def test_an_update_of_several_paths_scores_an_image_by_their_mean() -> None:
    # two updates: three paths on the images 1 and 0, then two on the images 1 and 1
    positions = torch.tensor([1, 0, 1, 0, 1, 0, 1, 1, 1, 1])
    norms = torch.tensor([1.0, 2.0, 2.0, 4.0, 6.0, 6.0, 5.0, 7.0, 3.0, 9.0])
    seen = ImageRecord(positions, torch.zeros(10), norms, torch.tensor([[3, 2], [2, 2]]))
    assert seen.over_routes().positions.tolist() == [1, 0, 1, 1]
    assert seen.over_routes().logit_norms.tolist() == [3, 4, 4, 8]
    order = DataImportance(2, 0, epochs=3)
    order.learn(seen)
    # image 1: 3, halved towards 4, then 8
    assert order.scores.tolist() == [4, 5.75]


def test_unseen_images_score_nothing_or_keep_what_they_had() -> None:
    zero, keep = (DataImportance(3, 0, epochs=9, unseen=unseen) for unseen in ("zero", "keep"))
    for order in (zero, keep):
        told(order, [0, 1], [1.0, 3.0])
    assert zero.scores.tolist() == [1, 3, 0]
    assert keep.scores.tolist() == [1, 3, 2]  # never drawn: the mean of the others
    for order in (zero, keep):
        told(order, [2, 2], [6.0, 8.0], epoch=1)
    assert zero.scores.tolist() == [0, 0, 7]
    assert keep.scores.tolist() == [1, 3, 7]


def test_the_next_epoch_draws_by_the_scores_and_a_uniform_share() -> None:
    order = DataImportance(4, 5, epochs=4, smoothing_start=0.5, smoothing_end=0.5)
    assert torch.equal(order.draw(0), Shuffle(4, 5).draw(0))
    told(order, [0, 1, 2, 3], [0.0, 1.0, 3.0, 0.0])
    assert order.expected is not None
    # N q = 4 (0.5 s / 4 + 0.5 / 4)
    torch.testing.assert_close(order.expected, doubles(0.5, 1.0, 2.0, 0.5))
    counts = torch.stack([torch.bincount(order.draw(epoch), minlength=4) for epoch in range(1, 3001)])
    torch.testing.assert_close(counts.double().mean(0), order.expected, atol=0.06, rtol=0)
    assert counts.max() == 4  # with replacement


def test_systematic_draws_are_floor_or_ceiling_and_at_first_a_shuffle() -> None:
    order = DataImportance(50, 5, epochs=4, draw="systematic", smoothing_end=0.8)
    scores = torch.rand(50, generator=torch.Generator().manual_seed(0))
    told(order, list(range(50)), scores.tolist())
    # tau = 0 after the first epoch: bit for bit the plain shuffle
    assert torch.equal(order.draw(1), Shuffle(50, 5).draw(1))
    told(order, list(range(50)), scores.tolist(), epoch=1)
    assert order.tau == 0.2 and order.expected is not None
    draw = order.draw(2)
    counts = torch.bincount(draw, minlength=50)
    assert counts.sum() == 50
    assert ((counts >= order.expected.floor()) & (counts <= order.expected.ceil())).all()
    # in random order, the same whenever it is asked for
    assert draw.tolist() != sorted(draw.tolist())
    assert torch.equal(order.draw(2), draw)


@pytest.mark.parametrize("draw", ["iid", "systematic"])
def test_weighted_losses_have_the_uniform_mean(draw: str) -> None:
    order = DataImportance(20, 1, epochs=3, draw=draw, correction="weights", smoothing_start=0.6, smoothing_end=0.6)
    assert order.weights(order.draw(0)) is None
    generator = torch.Generator().manual_seed(3)
    told(order, list(range(20)), torch.rand(20, generator=generator).tolist())
    losses = torch.rand(20, generator=generator)
    means = []
    for epoch in range(1, 2001):
        positions = order.draw(epoch)
        weights = order.weights(positions)
        assert weights is not None
        means.append((weights * losses[positions]).mean())
    assert torch.stack(means).mean().item() == pytest.approx(losses.mean().item(), rel=0.01)
    # no weights where none are asked for
    plain = DataImportance(20, 1, epochs=3)
    told(plain, [0], [1.0])
    assert plain.weights(plain.draw(1)) is None


def test_rows_tell_what_an_epoch_drew_and_learnt() -> None:
    order, labels = DataImportance(4, 5, epochs=4, smoothing_start=0.5, smoothing_end=0.5), torch.tensor([0, 0, 1, 2])
    told(order, [0, 1, 2, 3], [0.0, 1.0, 3.0, 0.0])
    first = {(row["figure"], row.get("choice")): row["value"] for row in order.epoch_rows(labels)}
    assert first["distinct_images", None] == 1 and first["effective_images", None] == 1
    assert [first["class_share", i] for i in range(3)] == [0.5, 0.25, 0.25]
    assert first["score_50_percent", None] == 0.5
    told(order, [2, 2, 1, 3], [1.0, 1.0, 1.0, 1.0], epoch=1)
    second = {(row["figure"], row.get("choice")): row["value"] for row in order.epoch_rows(labels)}
    assert second["data_smoothing", None] == 0.5
    assert second["distinct_images", None] == 0.75
    assert second["most_expected_draws", None] == 2
    weights = doubles(0.5, 0.5, 1, 2)
    assert second["effective_images", None] == pytest.approx(float(weights.sum() ** 2 / 4 / weights.square().sum()))
    assert [second["class_share", i] for i in range(3)] == [0.25, 0.5, 0.25]


def test_its_state_is_whole() -> None:
    order, other = (DataImportance(30, 5, epochs=4, unseen="keep", correction="weights") for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    for epoch in range(2):
        told(order, order.draw(epoch).tolist(), torch.rand(30, generator=generator).tolist(), epoch)
    other.load_state_dict(order.state_dict())
    assert torch.equal(other.draw(2), order.draw(2))
    assert torch.equal(other.weights(torch.arange(30)), order.weights(torch.arange(30)))  # type: ignore[arg-type]
    # a copy, which what is learnt later does not change
    state = order.state_dict()
    before = state["scores"].clone()
    told(order, [1], [9.0], 2)
    assert torch.equal(state["scores"], before)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"draw": "without"}, "iid, systematic"),
        ({"unseen": "none"}, "zero, keep"),
        ({"repeats": "last"}, "halving, mean"),
        ({"correction": "marginal"}, "none, weights"),
        ({"smoothing_start": -0.1}, r"order\.smoothing_start=-0\.1"),
        ({"correction": "weights", "smoothing_start": 1.0}, "smaller order.smoothing_end"),
        ({"epochs": 2}, "acts from the third on"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        DataImportance(10, 0, **{"epochs": 3} | settings)
