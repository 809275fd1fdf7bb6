"""A report on half of the networks: choose on one, judge on the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from src.analysis.ranking import tau_b
from src.analysis.report.groups import group_runs
from src.analysis.report.rankings import known_scores, ranking
from src.analysis.report.runs import HALVES, find_runs, half_of
from src.analysis.report.tables import baseline_rows
from tests.analysis.report.made_runs import make_run


def test_the_halves_share_the_networks_out_and_are_ranked_by_themselves(tmp_path: Path) -> None:
    make_run(tmp_path / "run", "spos", 0, ceiling=0.9)
    (whole,) = find_runs(tmp_path)
    halves = [find_runs(tmp_path, half)[0] for half in HALVES]
    archs = [set(run.scores["arch"]) for run in (whole, *halves)]
    assert archs[1] | archs[2] == archs[0] and not archs[1] & archs[2]
    assert min(len(archs[1]), len(archs[2])) > 0.35 * len(archs[0])
    # not what is stored of the whole, but tau of this half
    for run in halves:
        table = known_scores(run, "recalibrate")
        own = ranking(run, "recalibrate", "accuracy")
        assert own is not None and own["n"] == len(table) < len(archs[0])
        expected = tau_b(table["accuracy"].to_numpy(float), table["truth"].to_numpy(float))
        assert own["tau"]["value"] == pytest.approx(expected)


def test_a_half_is_named_and_has_no_ceiling_of_the_whole(tmp_path: Path) -> None:
    make_run(tmp_path / "run", "spos", 0, ceiling=0.9)
    for half, names in ((None, {"params", "macs", "ceiling"}), ("first", {"params", "macs"})):
        (group,) = group_runs(find_runs(tmp_path, half))
        assert ("first half of the networks" in group.title) == (half is not None)
        assert names <= set(baseline_rows(group, "recalibrate")["name"]) <= names | {"blocks"}


def test_the_half_of_a_network_is_the_same_everywhere() -> None:
    """The last bit of the first byte of sha256: 0x20 and 0xfd, by another program."""
    assert [half_of(arch) for arch in ("0-0-0-0-0", "1-1-1-1-1")] == ["first", "second"]
