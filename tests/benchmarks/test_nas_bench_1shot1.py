"""NAS-Bench-101's cells as a benchmark of 1Shot1, and which paths are scored where it knows a part."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from src.benchmarks.join import match
from src.benchmarks.nas_bench_1shot1 import NasBench1Shot1 as Cells
from src.benchmarks.sample import known_paths, paths_to_score
from src.benchmarks.table import Table
from src.ranking.ceiling import noise_ceiling
from src.ranking.comparison import Comparison
from src.ranking.score_table import score_row
from src.runtime.errors import UsageError
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.supernet.evaluator import Score

SPACE = NasBench1Shot1(1)
TABLE = "nas_bench_101_subset.csv"
HEADER = "hash,matrix,ops,params,val108"


@pytest.fixture
def cells(shared_data: Path) -> Cells:
    return Cells(str(shared_data / TABLE))


def test_the_table_of_cells(cells: Cells) -> None:
    assert len(cells.accuracies()) == 4774
    assert max(cells.accuracies().values()) == pytest.approx(0.948117, abs=1e-6)
    assert cells.duplicates() == []
    assert [len(known_paths(NasBench1Shot1(variant), cells)) for variant in (1, 2, 3)] == [195, 572, 4023]


def test_its_ceiling_is_another_length_of_training(cells: Cells) -> None:
    names = [arch for arch in cells.accuracies() if SPACE.reads(arch)]
    ceiling = noise_ceiling(cells, names)
    assert ceiling is not None
    assert ceiling.kind == "36 epochs against more"
    assert ceiling.value == pytest.approx(0.756, abs=5e-4)


def test_all_paths_to_a_cell_share_its_truth(cells: Cells) -> None:
    first = next(path for path in known_paths(SPACE, cells) if not SPACE.is_listed(path))
    paths = [path for path in SPACE.paths() if SPACE.canonical(path) == first]
    assert len(paths) > 1
    names = [SPACE.format(path) for path in paths]
    assert len(set(names)) == len(paths)
    joined = match(names, SPACE, cells)
    assert len(set(joined.truth)) == 1
    assert joined.duplicates.count == joined.unknown.count == 0
    assert joined.missing.count == 194
    # a path's row in scores.csv has it too
    truth = {SPACE.format(first): joined.truth[0]}
    rows = [score_row(SPACE, SPACE.reference, {}, truth)(path, Score(0.5, 1.0)) for path in paths]
    assert {row["truth"] for row in rows} == {joined.truth[0]}


def test_aliases_are_ranked_and_distinct_cells_are_a_subset(cells: Cells) -> None:
    paths = SPACE.sample_distinct(3000, torch.Generator().manual_seed(0))
    comparison = Comparison(SPACE, cells, [SPACE.format(path) for path in paths])
    masks = comparison.subsets
    assert 3 < masks["without loose ends"].sum() <= masks["distinct cells"].sum() < masks["all"].sum()
    truths = comparison.facts.truth[masks["distinct cells"]]
    assert not truths.isna().any()
    ceilings = comparison.ceilings()
    assert ceilings["all"]["value"] > 0.6


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ("arch,accuracy\nnb101:3:110,0.9\n", "no column 'hash'"),
        ("matrix,ops,params,val108\n110,3,1,0.9\n", "no column 'hash'"),
        (f"{HEADER}\nx,101,3,1,0.9\n", "line 2: hash 'x'"),
        (f"{HEADER}\n{'0' * 32},101,3,1,0.9\n", "line 2: hash '0000"),
        (f"{HEADER}\n{'0' * 32},10,3,1,0.9\n", "operations '3' and matrix '10'"),
        (f"{HEADER}\n{'0' * 32},101,z,1,0.9\n", "operations 'z'"),
        (f"{HEADER}\n{'0' * 32},101,3,1,good\n", "'val108' holds more than numbers"),
    ],
)
def test_a_file_without_the_cells_hashes_is_refused(rows: str, names: str, tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text(rows)
    with pytest.raises(UsageError, match=names):
        Cells(str(tmp_path / "cells.csv")).accuracies()


def test_an_unknown_column_of_truth_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cells.csv").write_text(HEADER)
    with pytest.raises(UsageError, match="val108, test108"):
        Cells(str(tmp_path / "cells.csv"), data="val200")


# which paths are scored


def test_a_sample_is_of_what_a_partial_benchmark_knows(cells: Cells) -> None:
    known = known_paths(SPACE, cells)
    drawn = paths_to_score(50, SPACE, cells, 0, "paths")
    assert len(set(drawn)) == 50
    assert set(drawn) <= set(known)
    assert drawn == paths_to_score(50, SPACE, cells, 0, "paths") != paths_to_score(50, SPACE, cells, 1, "paths")
    assert set(paths_to_score(1000, SPACE, cells, 0, "paths")) == set(known)
    assert paths_to_score("benchmark", SPACE, cells, 0, "paths") == known
    assert len(paths_to_score("all", SPACE, cells, 0, "paths")) == 14_580


def test_without_a_benchmark_or_with_a_whole_one_it_is_of_all_paths() -> None:
    space, whole = Mini(), Table("mini", "experiments/ground_truth_mini/table.csv")
    assert paths_to_score(20, space, None, 0, "paths") == paths_to_score(20, space, whole, 0, "paths")
    with pytest.raises(UsageError, match="paths=benchmark: there is no benchmark here"):
        paths_to_score("benchmark", space, None, 0, "paths")
    assert len(paths_to_score("benchmark", space, whole, 0, "paths")) == 243
