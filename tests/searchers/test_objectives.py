import math

import numpy as np
import pytest

from src.analysis.pareto import REFERENCE, front, hypervolume
from src.runtime.errors import UsageError
from src.searchers.objectives import make_objectives
from src.searchers.path_costs import Additive

MACS = Additive("macs", 1.0, ((0.0, 4.0), (0.0, 5.0)))
PARAMS = Additive("params", 2.0, ((0.0, 1.0), (0.0, 1.0)))
COSTS = {"macs": MACS, "params": PARAMS}


def test_accuracy_is_the_only_one_that_is_to_be_high() -> None:
    objectives = make_objectives(["accuracy", "macs", "loss"], COSTS, {}, 10)
    table = {"accuracy": [0.9, 0.2], "macs": [5.0, 1.0], "loss": [0.1, 2.0]}
    np.testing.assert_array_equal(objectives.minimised(table), [[-0.9, 5, 0.1], [-0.2, 1, 2.0]])
    assert objectives.computed == ["macs"]


def test_bounds_are_those_of_the_space_and_of_the_limit() -> None:
    objectives = make_objectives(["loss", "macs", "params"], COSTS, {"macs": 6.0}, 10)
    assert [(o.low, o.high) for o in objectives.all] == [(0, pytest.approx(math.log(10))), (1, 6), (2, 4)]
    np.testing.assert_allclose(objectives.scaled(np.array([[math.log(10), 3.5, 2.0]])), [[1, 0.5, 0]])


def test_merit_grows_with_what_is_learnt() -> None:
    by_accuracy = make_objectives(["macs", "accuracy"], COSTS, {}, 10)
    by_loss = make_objectives(["loss"], COSTS, {}, 10)
    np.testing.assert_allclose(by_accuracy.merit(np.array([[3.0, -0.7]])), [0.7])
    np.testing.assert_allclose(by_loss.merit(np.array([[0.5]])), [math.exp(-0.5)])


def test_the_front_holds_what_nothing_dominates() -> None:
    values = np.array([[0, 3], [1, 1], [3, 0], [2, 2], [1, 1], [0, 4]])
    assert front(values).tolist() == [0, 1, 2, 4]
    assert front(values[:0]).tolist() == []


def test_hypervolume_of_boxes() -> None:
    whole = REFERENCE**2
    assert hypervolume(np.array([[0.0, 0.0]])) == pytest.approx(1)
    two = [[0.1, 0.6], [0.6, 0.1]]  # boxes of 1.0 x 0.5, which share 0.5 x 0.5
    assert hypervolume(np.array(two)) == pytest.approx((2 * 1.0 * 0.5 - 0.5 * 0.5) / whole)
    assert hypervolume(np.array([[0.0, 1.2]])) == 0
    assert hypervolume(np.zeros((0, 2))) == 0


@pytest.mark.parametrize(
    "names, line",
    [
        (["acuracy"], "did you mean accuracy"),
        ("accuracy", "give a list"),
        ([], "give a list"),
        (["accuracy", "accuracy"], "twice"),
        (["macs", "params"], "add score, accuracy or loss"),
    ],
)
def test_bad_objectives_are_refused(names: object, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        make_objectives(names, COSTS, {}, 10)
