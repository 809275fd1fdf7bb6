import numpy as np
import pandas as pd
import pytest
from scipy import stats

from src.datasets.input_spec import InputSpec
from src.search_spaces.expanded import ExpandedMini
from src.search_spaces.network_spaces import NetworkSpaces
from src.standalone.space_study.result import arm_rows, picked_rows, space_rows
from src.standalone.space_study.spaces import (
    BEST,
    ELITE,
    ELITE_UNCONDITIONED,
    RIVAL,
    WHOLE,
    Search,
    Space,
    compared_spaces,
    draw_networks,
    indices,
    share_of_hits,
)

TARGET = 400e3
RANGES = ("1-2", "9-16", "1-2", "9-16", "3-4", "25-32")


@pytest.fixture(scope="module")
def spaces() -> NetworkSpaces:
    return NetworkSpaces.of(ExpandedMini(), {"depth": 2, "width": 8}, InputSpec(1, 10, 8))


@pytest.mark.parametrize("ranges", [RANGES, None])
def test_networks_near_the_target_are_drawn_from_the_space_alone(
    spaces: NetworkSpaces, ranges: tuple[str, ...] | None
) -> None:
    space = Space(ELITE, TARGET, ranges, "a")
    paths = draw_networks(spaces, "macs", space, 200, seed=0)
    assert len(set(paths)) == 200
    assert all(abs(spaces.cost("macs", path) - TARGET) <= 0.1 * TARGET for path in paths)
    if ranges is not None:
        assert {tuple(c // w for c, w in zip(path, spaces.widths, strict=True)) for path in paths} == {
            tuple(indices(spaces, ranges))
        }
    assert draw_networks(spaces, "macs", space, 200, seed=0) == paths
    assert draw_networks(spaces, "macs", space, 200, seed=1) != paths


def test_without_the_condition_some_lie_elsewhere(spaces: NetworkSpaces) -> None:
    paths = draw_networks(spaces, "macs", Space(ELITE_UNCONDITIONED, TARGET, RANGES, "a"), 1000, 0, hits_only=False)
    near = [abs(spaces.cost("macs", path) - TARGET) <= 0.1 * TARGET for path in paths]
    # distinct ones of 4,096
    assert np.mean(near) == pytest.approx(share_of_hits(spaces, "macs", TARGET, indices(spaces, RANGES)), abs=0.04)


def test_rivals_cost_as_much_and_are_no_elite_spaces(spaces: NetworkSpaces) -> None:
    searches = [Search("a", 0, TARGET, RANGES), Search("b", 1, TARGET, RANGES), Search("c", 0, 1.6e6, RANGES)]
    compared = compared_spaces(spaces, "macs", searches, rivals=6, seed=0)
    assert list(compared) == [TARGET, 1.6e6]
    near = compared[TARGET]
    assert [space.arm for space in near] == [ELITE, ELITE_UNCONDITIONED] * 2 + [RIVAL] * 6 + [BEST, WHOLE]
    rivals = [space.ranges for space in near if space.arm == RIVAL and space.ranges]
    assert len(set(rivals)) == 6 and RANGES not in rivals
    shares = {ranges: share_of_hits(spaces, "macs", TARGET, indices(spaces, ranges)) for ranges in (*rivals, RANGES)}
    assert min(shares.values()) >= shares[RANGES] / 2
    again = compared_spaces(spaces, "macs", searches, rivals=6, seed=1)[TARGET]
    assert [space.ranges for space in again if space.arm == RIVAL] != rivals


def errors_of(arm: str, space: str, errors: list[float], search: str | None = None) -> list[dict[str, object]]:
    about = {"target": TARGET, "arm": arm, "space": space, "search": search, "hits": 0.5, "macs": 4e5, "params": 10}
    return [about | {"error": error} for error in errors]


def test_spaces_of_an_arm_are_its_sample_or_the_networks_of_its_only_one() -> None:
    rng = np.random.default_rng(0)
    elite, rivals = rng.normal(0.1, 0.01, (3, 8)), rng.normal(0.12, 0.02, (5, 8))
    whole = rng.normal(0.15, 0.03, 20)
    rows = [row for i, each in enumerate(elite) for row in errors_of(ELITE, f"e{i}", each.tolist(), f"s{i}")]
    rows += [row for i, each in enumerate(rivals) for row in errors_of(RIVAL, f"r{i}", each.tolist())]
    rows += errors_of(WHOLE, "all", whole.tolist())
    arms = arm_rows(space_rows(pd.DataFrame(rows)))
    assert (arms[RIVAL]["spaces"], arms[RIVAL]["networks"], arms[WHOLE]["networks"]) == (5, 40, 20)
    for arm, sample in ((RIVAL, rivals.mean(1)), (WHOLE, whole)):
        interval = stats.ttest_ind(elite.mean(1), sample, equal_var=False).confidence_interval(0.95)
        assert (arms[arm]["low"], arms[arm]["high"]) == pytest.approx((interval.low, interval.high))
        assert arms[arm]["difference"] == pytest.approx(elite.mean() - sample.mean())
    assert arms[RIVAL]["worse_than_elite"] == int((rivals.mean(1) > elite.mean()).sum())


def test_picked_networks_are_paired_by_search() -> None:
    rows = [
        {"target": TARGET, "search": search, "arm": arm, "macs": 4e5, "error": error}
        for search, errors in (("a", (0.10, 0.12)), ("b", (0.20, 0.24)), ("c", (0.15, 0.18)))
        for arm, error in zip((ELITE, WHOLE), errors, strict=True)
    ]
    arms = picked_rows(pd.DataFrame(rows))
    assert arms[ELITE] == {"searches": 3, "macs": 4e5, "error": pytest.approx(0.15), "sd": pytest.approx(0.05)}
    paired = stats.ttest_rel([0.10, 0.20, 0.15], [0.12, 0.24, 0.18]).confidence_interval(0.95)
    assert (arms[WHOLE]["low"], arms[WHOLE]["high"]) == pytest.approx((paired.low, paired.high))
