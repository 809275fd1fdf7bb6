import json
from pathlib import Path

import pytest

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.nas_bench_macro import NasBenchMacro


@pytest.fixture(scope="module")
def space() -> NasBenchMacro:
    return NasBenchMacro()


def test_costs_are_the_benchmarks(space: NasBenchMacro, shared_data: Path) -> None:
    table = json.loads((shared_data / "nas-bench-macro_cifar10.json").read_text())
    assert len(table) == space.count == 6561
    wrong = [arch for arch, row in table.items() if space.costs(space.parse(arch)) != (row["params"], row["flops"])]
    assert wrong == []


@pytest.mark.parametrize("arch, params, macs", [("02012100", 890_666, 47_327_744), ("11111221", 2_181_386, 65_012_224)])
def test_costs_of_two_cells(space: NasBenchMacro, arch: str, params: int, macs: int) -> None:
    assert space.costs(space.parse(arch)) == (params, macs)


def test_distinct_networks(space: NasBenchMacro) -> None:
    groups: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for path in space.paths():
        groups.setdefault(space.canonical(path), []).append(path)
    assert len(groups) == 3969
    for canonical, members in groups.items():
        assert canonical in members
        assert {space.costs(path) for path in members} == {space.costs(canonical)}
        assert {live(space, path) for path in members} == {live(space, canonical)}


def live(space: NasBenchMacro, path: tuple[int, ...]) -> tuple[tuple[str, int], ...]:
    """What a stand-alone network is: its operations in order, with their channels, without identities."""
    named = [(space.op_names(i)[c], space.shapes[i].outputs) for i, c in enumerate(path)]
    return tuple(entry for entry in named if entry[0] != "identity")


def test_canonical_keeps_strided_layers(space: NasBenchMacro) -> None:
    assert space.canonical((0, 1, 0, 0, 2, 0, 2, 0)) == (0, 1, 0, 2, 0, 0, 2, 0)
    assert space.canonical((0,) * 8) == (0,) * 8


def test_mb_blocks_leave_out_identities_and_1x1_convolutions(space: NasBenchMacro) -> None:
    assert space.counts((0,) * 8) == {"mb_blocks": 0}
    assert space.counts((1, 0, 2, 0, 1, 2, 0, 1)) == {"mb_blocks": 5}


@pytest.mark.parametrize("text", ["22212202", 22212202, "2-2-2-1-2-2-0-2", [2, 2, 2, 1, 2, 2, 0, 2]])
def test_forms_of_a_path(space: NasBenchMacro, text: object) -> None:
    assert space.parse(text) == (2, 2, 2, 1, 2, 2, 0, 2)
    assert space.format(space.parse(text)) == "22212202"


def test_leading_zeros_stay(space: NasBenchMacro) -> None:
    assert space.parse("02012100") == (0, 2, 0, 1, 2, 1, 0, 0)


@pytest.mark.parametrize("text", ["2221220", 2221220, "22212203", "222122022"])
def test_wrong_strings_are_refused(space: NasBenchMacro, text: object) -> None:
    with pytest.raises(UsageError, match=r"has 8 layers|offers 0 to 2"):
        space.parse(text)


def test_small_images_are_refused_with_strides_that_work() -> None:
    with pytest.raises(UsageError, match=r"set search_space.strides=\[1,1,2\]$"):
        NasBenchMacro().build(1, 10, 8)
    NasBenchMacro(strides=(1, 1, 2)).check_input(InputSpec(1, 10, 8))
    NasBenchMacro().check_input(InputSpec(3, 10, 16))
