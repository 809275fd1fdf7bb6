"""A search killed at any moment goes on to the identical archive."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from src.analysis.pareto import front
from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.runtime.interrupts import Stop
from src.runtime.run_folder import ARCHIVE, GENERATIONS, append_rows
from src.searching.archive import COLUMNS, Archive
from src.searching.loop import Search, SearchBudget
from src.searching.score_source import ScoreSource
from src.supernet.path import ArchPath
from tests.searchers import toy
from tests.searching.toy_space import ToySpace

BUDGET = SearchBudget(models=90, patience=3)


class Killed(Exception):
    pass


class Scorer:
    """Knows the toy's accuracies, counts what it is asked, and may die in the middle of a generation."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.asked: list[ArchPath] = []
        self.dies_after = dies_after

    def __call__(self, paths: Sequence[ArchPath]) -> Iterable[tuple[ArchPath, float, float]]:
        for path in reversed(paths):
            self.asked.append(path)
            if len(self.asked) == self.dies_after:
                raise Killed
            yield path, toy.accuracy(path), 1 - toy.accuracy(path)


def make_search(
    name: str, folder: Path, scorer: Scorer, budget: SearchBudget = BUDGET, most: float | None = None
) -> Search:
    folder.mkdir(exist_ok=True)
    problem = toy.problem(most=most)
    source = ScoreSource(ToySpace(), InputSpec(1, 10, 8), scorer, {}, ["accuracy", "macs"], {})
    search = Search(
        folder, source, toy.make(name, problem, population=16), Archive(folder, problem.objectives), budget, None
    )
    search.resume("last")
    return search


@pytest.mark.parametrize("name", toy.NAMES)
@pytest.mark.parametrize("dies_after", [5, 40, 83])
def test_a_killed_search_ends_with_the_identical_archive(name: str, dies_after: int, tmp_path: Path) -> None:
    make_search(name, tmp_path / "whole", Scorer()).run(Stop())
    with pytest.raises(Killed):
        make_search(name, tmp_path / "killed", Scorer(dies_after)).run(Stop())
    later = [{"generation": 1 + (dies_after - 1) // 16, "path": "0-0-0-0-0-0-1", "arch": "x", "accuracy": 0.5}]
    append_rows(tmp_path / "killed" / ARCHIVE, COLUMNS, later)  # as a kill between archive and checkpoint leaves it
    make_search(name, tmp_path / "killed", Scorer()).run(Stop())
    assert (tmp_path / "killed" / ARCHIVE).read_text() == (tmp_path / "whole" / ARCHIVE).read_text()
    columns = [name for name in generations(tmp_path / "whole")[0] if name != "wall_seconds"]
    both = [[[row[c] for c in columns] for row in generations(tmp_path / kind)] for kind in ("whole", "killed")]
    assert both[0] == both[1]


@pytest.mark.parametrize("name", toy.NAMES)
def test_scores_each_network_once_and_no_more_than_the_budget(name: str, tmp_path: Path) -> None:
    scorer = Scorer()
    make_search(name, tmp_path, scorer).run(Stop())
    assert len(scorer.asked) == len(set(scorer.asked)) <= BUDGET.models
    if name != "mnasnet_rl":  # whose policy may come to propose nothing new
        assert len(scorer.asked) == BUDGET.models


def test_a_finished_search_asks_for_nothing(tmp_path: Path) -> None:
    make_search("nsga2", tmp_path, Scorer()).run(Stop())
    scorer = Scorer()
    make_search("nsga2", tmp_path, scorer).run(Stop())
    assert scorer.asked == []


@pytest.mark.parametrize("damage", ["removed", "cut", "no checkpoint"])
def test_an_archive_that_is_not_the_checkpoints_is_refused(damage: str, tmp_path: Path) -> None:
    make_search("nsga2", tmp_path, Scorer()).run(Stop())
    archive = tmp_path / ARCHIVE
    if damage == "removed":
        archive.unlink()
    elif damage == "cut":
        archive.write_text("".join(archive.read_text().splitlines(keepends=True)[:20]))
    else:
        shutil.rmtree(tmp_path / "checkpoints")
    before = archive.read_text() if archive.exists() else None
    with pytest.raises(UsageError, match="changed or damaged"):
        make_search("nsga2", tmp_path, Scorer())
    assert (archive.read_text() if archive.exists() else None) == before


def test_a_larger_budget_goes_on(tmp_path: Path) -> None:
    make_search("random_search", tmp_path, Scorer(), SearchBudget(models=32)).run(Stop())
    more = make_search("random_search", tmp_path, Scorer(), SearchBudget(models=64))
    more.run(Stop())
    assert len(more.archive) == 64
    make_search("random_search", tmp_path / "whole", Scorer(), SearchBudget(models=64)).run(Stop())
    assert (tmp_path / ARCHIVE).read_text() == (tmp_path / "whole" / ARCHIVE).read_text()


def test_a_signal_ends_it_after_a_generation(tmp_path: Path) -> None:
    stop = Stop()

    class Signalling(Scorer):
        def __call__(self, paths: Sequence[ArchPath]) -> Iterable[tuple[ArchPath, float, float]]:
            stop.asked = True
            return super().__call__(paths)

    search = make_search("nsga2", tmp_path, Signalling())
    search.run(stop)
    assert (search.generation, len(search.archive), search.is_finished) == (1, 16, False)
    assert make_search("nsga2", tmp_path, Scorer()).generation == 1


def test_generations_and_patience_end_a_search(tmp_path: Path) -> None:
    search = make_search("random_search", tmp_path, Scorer(), SearchBudget(models=500, generations=2))
    search.run(Stop())
    assert search.generation == 2
    everything = make_search("nsga2", tmp_path / "all", Scorer(), most=2.0)
    everything.run(Stop())
    assert len(everything.archive) == 8  # all that the limit leaves
    stuck = make_search("mnasnet_rl", tmp_path / "stuck", Scorer(), most=2.0)
    stuck.run(Stop())
    assert (len(stuck.archive), stuck.stalled) == (8, BUDGET.patience)


def test_the_record_of_a_generation(tmp_path: Path) -> None:
    search = make_search("nsga2", tmp_path, Scorer())
    search.run(Stop())
    rows = generations(tmp_path)
    assert [int(row["models"]) for row in rows] == [16, 32, 48, 64, 80, 90]
    volumes = [float(row["hypervolume"]) for row in rows]
    assert volumes == sorted(volumes)
    assert int(rows[-1]["front"]) == len(front(search.archive.values()))
    assert float(rows[-1]["best"]) == max(row["accuracy"] for row in search.archive.rows.values())


def generations(folder: Path) -> list[dict[str, str]]:
    with (folder / GENERATIONS).open(newline="") as lines:
        return list(csv.DictReader(lines))
