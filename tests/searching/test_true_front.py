import numpy as np
import pytest

from src.searchers.limits import FeasiblePaths, Limit
from src.searchers.objectives import make_objectives
from src.searching.true_front import TrueFront
from tests.searchers import toy
from tests.searching.toy_space import ToySpace

SPACE = ToySpace()
TRUTH = {SPACE.format(path): toy.accuracy(path) for path in toy.every_path()}


def true_front(names: tuple[str, ...] = ("accuracy", "macs"), most: float | None = None) -> TrueFront:
    feasible = FeasiblePaths(toy.SIZES, [Limit(toy.MACS, most)] if most is not None else [])
    return TrueFront(SPACE, TRUTH, feasible, make_objectives(list(names), {"macs": toy.MACS}, {}, 10))


def test_holds_what_no_network_dominates() -> None:
    found = np.unique(toy.values(true_front().paths), axis=0)
    np.testing.assert_array_equal(found, toy.true_front())


def test_shares_are_of_the_true_front() -> None:
    known = true_front()
    assert known.share(known.paths) == pytest.approx(1)
    assert known.share(toy.every_path()) == pytest.approx(1)
    some, more = (known.share(toy.every_path()[:count]) for count in (5, 500))
    assert some is not None
    assert more is not None
    assert 0 < some < more < 1


def test_the_most_accurate_network_counts_though_it_is_the_dearest_but_for_what_it_misses() -> None:
    known = true_front()
    best = max(toy.every_path(), key=toy.accuracy)
    share = known.share([best])
    assert share is not None
    assert share > 0


def test_networks_beyond_a_limit_are_none_of_it() -> None:
    assert max(map(toy.MACS, true_front(most=6).paths)) <= 6


def test_the_truth_stands_in_for_the_loss() -> None:
    assert true_front(("loss", "macs")).paths == true_front().paths


def test_unknown_networks_say_nothing() -> None:
    known = TrueFront(
        SPACE, {"0-0-0-0-0-0-0": 0.3, "1-0-0-0-0-0-0": 0.4}, FeasiblePaths(toy.SIZES), toy.problem().objectives
    )
    assert known.share([(3, 2, 3, 3, 2, 3, 3)]) is None
