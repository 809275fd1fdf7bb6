"""Which networks of a space a ground truth trains."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from src.runtime.errors import UsageError
from src.search_spaces.mini import Mini
from src.search_spaces.mini_cell import MiniCell
from src.search_spaces.mobilenet import MobileNetA
from src.standalone.every_path.networks import chosen_networks, distinct_networks

CELLS = MiniCell()


def test_dead_and_repeated_cells_are_left_out_and_counted() -> None:
    networks = distinct_networks(CELLS)
    assert (len(networks.paths), networks.dead, networks.repeated) == (4_929, 341, 10_355)
    assert all(CELLS.canonical(path) == path and CELLS.is_connected(path) for path in networks.paths)
    assert distinct_networks(Mini()) == (list(Mini().paths()), 0, 0)


def test_a_random_sample_and_a_whole_subset_beside_it() -> None:
    drawn = chosen_networks(CELLS, 500, "convolutions only", 0)
    whole = CELLS.subsets(drawn)["convolutions only"]
    assert (len(drawn), len(set(drawn)), sum(whole)) == (564, 564, 64)
    assert drawn == sorted(drawn) == chosen_networks(CELLS, 500, "convolutions only", 0)
    assert drawn != chosen_networks(CELLS, 500, "convolutions only", 1)
    assert len(chosen_networks(CELLS, "all", None, 0)) == 4_929


def test_the_committed_table_is_of_that_sample() -> None:
    archs = pd.read_csv("experiments/ground_truth_mini_cell/table.csv").arch
    assert [CELLS.parse(arch) for arch in archs.sort_values()] == [
        path for _, path in sorted((CELLS.format(p), p) for p in chosen_networks(CELLS, 500, "convolutions only", 0))
    ]


def test_a_file_of_networks(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("path\n2-0-2-1-1\n0-0-0-0-0\n2-0-2-1-1\n")
    assert chosen_networks(Mini(), str(tmp_path / "some.csv"), None, 0) == [(2, 0, 2, 1, 1), (0, 0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("paths", "subset", "names"),
    [
        (4_930, None, "4,929 networks to draw from"),
        (4_900, "convolutions only", "4,865 networks to draw from"),
        (5, "convolutions", "convolutions only"),
        ("nowhere.csv", None, "there is no such file"),
    ],
)
def test_what_cannot_be_chosen_is_refused(paths: str | int, subset: str | None, names: str) -> None:
    with pytest.raises(UsageError, match=names):
        chosen_networks(CELLS, paths, subset, 0)


def test_a_space_too_large_to_be_listed_is_refused() -> None:
    with pytest.raises(UsageError, match="more than 100,000"):
        chosen_networks(MobileNetA(), 5, None, 0)
