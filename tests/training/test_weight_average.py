"""The average of the weights against its recursion by hand, and where it is scored."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src.training.weight_average import WeightAverage


def moved(net: nn.Linear, average: WeightAverage, values: list[float]) -> None:
    for value in values:
        nn.init.constant_(net.weight, value)
        average.update()


def test_the_average_is_the_mean_of_all_until_the_decay_takes_over() -> None:
    net = nn.Linear(2, 1, bias=False)
    average = WeightAverage(net, decay=0.75)
    moved(net, average, [4.0, 8.0, 0.0, 4.0])
    assert average.values["weight"].tolist() == [[4.0, 4.0]]
    moved(net, average, [8.0, 0.0])
    assert average.values["weight"].flatten().tolist() == pytest.approx([0.75 * 5.0, 0.75 * 5.0])


def test_the_net_has_the_average_only_meanwhile() -> None:
    net = nn.Linear(2, 1, bias=False)
    average = WeightAverage(net, decay=0.9)
    with average.in_place():
        pass  # no update yet
    moved(net, average, [1.0, 3.0])
    storage = net.weight.data_ptr()
    with average.in_place():
        assert net.weight.tolist() == [[2.0, 2.0]]
    assert net.weight.tolist() == [[3.0, 3.0]]
    assert net.weight.data_ptr() == storage


def test_without_a_decay_nothing_is_kept() -> None:
    net = nn.Linear(2, 1, bias=False)
    average = WeightAverage(net, decay=None)
    moved(net, average, [1.0, 3.0])
    assert average.state_dict() == {"updates": 0, "values": {}}
    with average.in_place():
        assert net.weight.tolist() == [[3.0, 3.0]]


def test_a_parameter_that_is_added_starts_at_what_it_is_then() -> None:
    net = nn.Linear(1, 1, bias=False)
    average = WeightAverage(net, decay=0.5)
    moved(net, average, [2.0, 4.0])
    net.bias = nn.Parameter(torch.ones(1))
    average.update()
    assert average.values["bias"].tolist() == [1.0]
    resumed = WeightAverage(net, decay=0.5)
    resumed.load_state_dict(average.state_dict())
    average.update()
    resumed.update()
    assert torch.equal(average.values["weight"], resumed.values["weight"])
