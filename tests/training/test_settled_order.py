"""When an order counts as settled."""

from __future__ import annotations

import itertools

import numpy as np

from src.supernet.evaluator import Score
from src.training.settled_order import SettledOrder


def look(order: SettledOrder, losses: list[float]) -> bool:
    order.add([((i,), Score(0.5, loss)) for i, loss in enumerate(losses)])
    return order.is_settled


def test_an_order_is_settled_after_so_many_agreements_in_a_row() -> None:
    order = SettledOrder("loss", agreement=0.9, looks=2)
    assert not look(order, [1.0, 2.0, 3.0, 4.0])
    assert not look(order, [1.1, 2.1, 3.1, 4.1])
    # one pair of six the other way: tau 2/3
    assert not look(order, [2.0, 1.0, 3.0, 4.0])
    assert not look(order, [2.0, 1.0, 3.0, 4.0])
    assert look(order, [2.0, 1.0, 3.0, 5.0])


def test_a_score_that_is_constant_is_no_order() -> None:
    order = SettledOrder("accuracy", agreement=-1, looks=1)
    assert not look(order, [1.0, 2.0, 3.0])
    assert not look(order, [1.0, 2.0, 3.0])


def test_sums_over_layers_settle_before_single_losses_do() -> None:
    paths = list(itertools.product(range(3), repeat=3))
    by_loss, by_sum = (SettledOrder(by, agreement=0.95, looks=1) for by in ("loss", "additive_loss"))
    for seed in range(2):
        noise = np.random.default_rng(seed).normal(size=len(paths))
        scores = [
            (path, Score(0.5, 9.0 - 9 * path[0] - 3 * path[1] - path[2] + each))
            for path, each in zip(paths, noise, strict=True)
        ]
        by_loss.add(scores)
        by_sum.add(scores)
    assert by_sum.is_settled and not by_loss.is_settled


def test_the_state_continues_the_row() -> None:
    order, twin = (SettledOrder("loss", agreement=0.5, looks=2) for _ in range(2))
    look(order, [1.0, 2.0, 3.0])
    look(order, [1.0, 2.0, 3.0])
    twin.load_state_dict(order.state_dict())
    assert look(order, [1.0, 2.0, 3.0]) and look(twin, [1.0, 2.0, 3.0])
