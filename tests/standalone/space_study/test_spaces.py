import numpy as np
import pandas as pd
import pytest
from scipy import stats

from src.datasets.input_spec import InputSpec
from src.search_spaces.expanded import ExpandedMini
from src.search_spaces.network_spaces import NetworkSpaces
from src.standalone.space_study.comparison import (
    arm_rows,
    at_equal_cost,
    over_targets,
    picked_over_targets,
    picked_rows,
    space_rows,
    verdict,
)
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
    assert not [s for s in compared_spaces(spaces, "macs", searches, 0, 0)[TARGET] if s.arm == RIVAL]
    # two searches that chose one space draw other networks of it
    drawn = [draw_networks(spaces, "macs", space, 16, 0) for space in near if space.arm == ELITE]
    assert drawn[0] != drawn[1]
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
    arms = arm_rows(space_rows(at_equal_cost(pd.DataFrame(rows), "macs")), "macs")
    assert (arms[RIVAL]["spaces"], arms[RIVAL]["networks"], arms[WHOLE]["networks"]) == (5, 40, 20)
    for arm, sample in ((RIVAL, rivals.mean(1)), (WHOLE, whole)):
        interval = stats.ttest_ind(elite.mean(1), sample, equal_var=False).confidence_interval(0.95)
        difference = arms[arm]["difference"]
        assert (difference["low"], difference["high"]) == pytest.approx((interval.low, interval.high))
        assert difference["value"] == pytest.approx(elite.mean() - sample.mean())
        # at one cost nothing is adjusted
        assert arms[arm]["at_equal_cost"] == pytest.approx(difference)
    assert arms[RIVAL]["worse_than_elite"] == int((rivals.mean(1) > elite.mean()).sum())


def test_picked_networks_are_paired_by_search() -> None:
    rows = [
        {"target": TARGET, "search": search, "arm": arm, "macs": 4e5, "error": error}
        for search, errors in (("a", (0.10, 0.12)), ("b", (0.20, 0.24)), ("c", (0.15, 0.18)))
        for arm, error in zip((ELITE, WHOLE), errors, strict=True)
    ]
    arms = picked_rows(pd.DataFrame(rows), "macs")
    assert arms[ELITE] == {"searches": 3, "macs": 4e5, "error": pytest.approx(0.15), "sd": pytest.approx(0.05)}
    paired = stats.ttest_rel([0.10, 0.20, 0.15], [0.12, 0.24, 0.18]).confidence_interval(0.95)
    difference = arms[WHOLE]["difference"]
    assert (difference["low"], difference["high"]) == pytest.approx((paired.low, paired.high))
    # a search whose Elite Space has no network near the target has no pair
    alone = picked_rows(pd.DataFrame([row for row in rows if (row["search"], row["arm"]) != ("c", ELITE)]), "macs")
    assert (alone[ELITE]["searches"], alone[WHOLE]["searches"]) == (2, 3)
    assert alone[WHOLE]["difference"]["value"] == pytest.approx(-0.03)


def test_errors_are_compared_at_equal_cost() -> None:
    """One slope over the logarithm of the cost, taken within spaces: what is left is what spaces differ in."""
    rng, rows = np.random.default_rng(0), []
    for arm, level, costs in ((ELITE, 0.10, (3.7e5, 4.1e5)), (WHOLE, 0.12, (4.0e5, 4.4e5))):
        for macs in rng.uniform(*costs, 30):
            (row,) = errors_of(arm, arm, [level - 0.5 * np.log(macs / TARGET)])
            rows.append(row | {"macs": macs})
    rows += [errors_of(ELITE_UNCONDITIONED, "e", [0.3])[0] | {"macs": 9e5}]
    table = at_equal_cost(pd.DataFrame(rows), "macs")
    by_arm = table.groupby("arm")["adjusted"]
    assert by_arm.mean()[ELITE] == pytest.approx(0.10) and by_arm.mean()[WHOLE] == pytest.approx(0.12)
    assert by_arm.std()[ELITE] < 1e-9 and np.isnan(by_arm.mean()[ELITE_UNCONDITIONED])


def test_searches_that_chose_one_space_are_one_space_with_all_their_networks() -> None:
    rng = np.random.default_rng(0)
    elite, rivals = rng.normal(0.1, 0.01, (3, 8)), rng.normal(0.12, 0.02, (5, 8))
    rows = [row for i, each in enumerate(elite) for row in errors_of(ELITE, "e", each.tolist(), f"s{i}")]
    rows += [row for i, each in enumerate(rivals) for row in errors_of(RIVAL, f"r{i}", each.tolist())]
    spaces = space_rows(at_equal_cost(pd.DataFrame(rows), "macs"))
    assert spaces["searches"].tolist() == [3, 0, 0, 0, 0, 0]
    arms = arm_rows(spaces, "macs")
    assert (arms[ELITE]["spaces"], arms[ELITE]["networks"]) == (1, 24)
    interval = stats.ttest_ind(elite.ravel(), rivals.mean(1), equal_var=False).confidence_interval(0.95)
    assert (arms[RIVAL]["difference"]["low"], arms[RIVAL]["difference"]["high"]) == pytest.approx(tuple(interval))
    assert arms[RIVAL]["sd"] == pytest.approx(np.sqrt(rivals.var(1, ddof=1).mean()))


def test_an_elite_space_of_any_cost_is_paired_with_itself() -> None:
    near, free = [0.10, 0.13, 0.12], [0.11, 0.15, 0.16]
    rows = [
        r
        for arm, each in ((ELITE, near), (ELITE_UNCONDITIONED, free))
        for i, e in enumerate(each)
        for r in errors_of(arm, f"e{i}", [e - 0.01, e + 0.01], f"s{i}")
    ]
    difference = arm_rows(space_rows(at_equal_cost(pd.DataFrame(rows), "macs")), "macs")[ELITE_UNCONDITIONED][
        "difference"
    ]
    interval = stats.ttest_rel(near, free).confidence_interval(0.95)
    assert (difference["low"], difference["high"]) == pytest.approx((interval.low, interval.high))


def test_targets_are_joined_in_deviations_of_single_networks() -> None:
    """Two targets of one Elite Space and one rival each, ten times as noisy at the second: Welch by hand."""
    rng, rows, expected, variances, freedoms = np.random.default_rng(1), [], [], [], []
    for target, scale in ((4e5, 0.01), (8e5, 0.1)):
        elite, rival = 0.1 + rng.normal(0, scale, 30), 0.1 + rng.normal(0, scale, 20) + scale
        for arm, errors in ((ELITE, elite), (RIVAL, rival)):
            rows += [row | {"target": target, "macs": target} for row in errors_of(arm, arm, errors.tolist(), "s")]
        unit = np.sqrt((29 * elite.var(ddof=1) + 19 * rival.var(ddof=1)) / 48)
        expected.append((elite.mean() - rival.mean()) / unit)
        parts = np.array([elite.var(ddof=1) / 30, rival.var(ddof=1) / 20]) / unit**2
        variances.append(parts.sum())
        freedoms.append(parts.sum() ** 2 / (parts**2 / [29, 19]).sum())
    joined = over_targets(space_rows(at_equal_cost(pd.DataFrame(rows), "macs")))[RIVAL]
    assert joined["targets"] == 2 and joined["value"] == pytest.approx(np.mean(expected))
    freedom = sum(variances) ** 2 / sum(v**2 / f for v, f in zip(variances, freedoms, strict=True))
    half = stats.t.ppf(0.975, freedom) * np.sqrt(sum(variances)) / 2
    assert joined["high"] - joined["value"] == pytest.approx(half)
    assert joined["verdict"] == "better"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(-0.6, 0.5, "equal"), (-0.6, -0.1, "equal"), (-0.9, -0.1, "better"), (0.1, 2, "worse"), (-0.8, 0.1, "undecided")],
)
def test_verdicts(low: float, high: float, word: str) -> None:
    assert verdict({"low": low, "high": high}) == word
    assert verdict({"low": None, "high": None}) == "undecided"


def test_picked_networks_are_joined_over_targets() -> None:
    rows, spaces = [], []
    for target, sd in ((4e5, 0.01), (8e5, 0.02)):
        about = {"target": target, "arm": ELITE, "networks": 16}
        spaces.append(about | {"error_sd": sd})
        for search, (elite, whole) in {"a": (0.10, 0.12), "b": (0.20, 0.21)}.items():
            each = {"target": target, "search": f"{search}{target}"}
            rows += [each | {"arm": ELITE, "error": elite}, each | {"arm": WHOLE, "error": whole}]
    joined = picked_over_targets(pd.DataFrame(rows), pd.DataFrame(spaces))[WHOLE]
    interval = stats.ttest_1samp([-2, -1, -1, -0.5], 0).confidence_interval(0.95)
    assert (joined["value"], joined["low"], joined["high"]) == pytest.approx((-1.125, interval.low, interval.high))
