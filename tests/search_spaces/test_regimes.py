"""Counting near a target, against enumeration and against what is known of both spaces."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from src.datasets.input_spec import InputSpec
from src.describe import main
from src.runtime.launch import launch
from src.runtime.run_folder import RESULT
from src.search_spaces.expanded import Expanded, ExpandedMini
from src.search_spaces.network_spaces import NetworkSpaces
from src.search_spaces.regimes import regimes
from tests.test_bad_input import check_one_line

DIGITS = InputSpec(1, 10, 8)


def spaces_of(space: Expanded, input_spec: InputSpec, **partition: int) -> NetworkSpaces:
    return NetworkSpaces.of(space, partition, input_spec)


@pytest.mark.parametrize("of", ["macs", "params"])
@pytest.mark.parametrize("shortcut", ["always", "he"])
@pytest.mark.parametrize("strides", [(1, 2, 2), (1, 1, 2)])
@pytest.mark.parametrize("ranges", [None, ["1-4", "5-12", "2-3", "1-32", "4", "7-8"]])
def test_costs_of_many_networks_are_those_of_each(
    of: str, shortcut: str, strides: tuple[int, ...], ranges: list[str] | None
) -> None:
    space = ExpandedMini(shortcut=shortcut, strides=strides, ranges=ranges)
    spaces = spaces_of(space, DIGITS, depth=1, width=1)
    generator = torch.Generator().manual_seed(0)
    paths = [space.sample(generator) for _ in range(300)]
    costs = spaces.costs_of(of, torch.tensor(paths))
    assert costs.tolist() == [getattr(space.costs(path), of) for path in paths]


def test_the_best_space_is_the_one_of_enumeration() -> None:
    """4,096 networks in 64 spaces."""
    space, target = ExpandedMini(depth=2, width=8), 60e3
    spaces = spaces_of(space, DIGITS, depth=1, width=4)
    (regime,) = regimes(spaces, "macs", [target])
    costs = {path: space.costs(path).macs for path in itertools.product(*map(range, space.sizes))}
    hits = {path: abs(cost - target) <= 0.1 * target for path, cost in costs.items()}
    assert regime.share == pytest.approx(sum(hits.values()) / len(hits), abs=1e-3)
    shares: dict[tuple[int, ...], list[bool]] = {}
    for path, hit in hits.items():
        shares.setdefault(tuple(c // w for c, w in zip(path, spaces.widths, strict=True)), []).append(hit)
    best = max(sum(each) / len(each) for each in shares.values())
    named = tuple(spaces.names(layer).index(name) for layer, name in enumerate(regime.ranges))
    assert sum(shares[named]) / len(shares[named]) == pytest.approx(best, abs=0.02)
    assert regime.best_share == pytest.approx(best, abs=0.02)
    assert regime.in_five == pytest.approx(1 - (1 - regime.best_share) ** 5)
    assert 0 < regime.deviation < 0.2
    first = [abs(costs[path] / target - 1) for path, hit in hits.items() if hit]
    assert regime.first_deviation == pytest.approx(sum(first) / len(first), abs=2e-3)


def test_known_counts_of_the_small_space() -> None:
    results = regimes(spaces_of(ExpandedMini(), DIGITS, depth=2, width=8), "macs", [0.2e6, 0.4e6, 0.8e6, 1.6e6, 3.2e6])
    assert [round(1 / each.share) for each in results] == [38, 19, 12, 14, 21]
    assert [each.best_share for each in results] == pytest.approx([0.26, 0.34, 0.36, 0.38, 0.39], abs=0.012)


@pytest.mark.slow
def test_known_counts_of_the_whole_space() -> None:
    """The twelve regimes of the supplement's Table 1."""
    targets = [0.2e9, 0.4e9, 0.6e9, 1.6e9, 3.2e9, 4e9, 6.4e9, 8e9, 12e9, 16e9, 24e9, 32e9]
    results = regimes(spaces_of(Expanded(), InputSpec(3, 10, 32), depth=4, width=32), "macs", targets)
    known = [1098, 401, 224, 63, 30, 25, 18, 16, 14, 14, 16, 18]
    assert all(abs(1 / each.share - one_in) < 0.12 * one_in for each, one_in in zip(results, known, strict=True))
    best = [0.37, 0.48, 0.53, 0.68, 0.76, 0.78, 0.83, 0.85, 0.85, 0.85, 0.87, 0.88]
    assert [each.best_share for each in results] == pytest.approx(best, abs=0.03)
    assert all(each.in_five > 0.996 for each in results[4:])
    assert math.isclose(sum(each.deviation for each in results) / 12, 0.022, abs_tol=0.003)


def test_describe_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["search_space=expanded_mini", "targets=[400e3]", f"hydra.run.dir={tmp_path}"]
    assert launch("describe", main, arguments) == 0
    assert "400,000" in capsys.readouterr().out
    (regime,) = json.loads((tmp_path / RESULT).read_text())["regimes"]
    assert regime["best_share"] == pytest.approx(0.34, abs=0.012)
    for target in ("1", "7e6"):
        assert launch("describe", main, ["search_space=expanded_mini", f"targets=[{target}]"]) == 2
        check_one_line(capsys.readouterr().err, "out of reach: networks of expanded_mini have ")
    assert launch("describe", main, ["search_space=mini", "targets=[400e3]"]) == 2
    check_one_line(capsys.readouterr().err, "search_space=expanded")
