"""The run of a search and its result: the front, a few networks selected from it, figures, result.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from src.analysis.pareto import front
from src.analysis.report.network_drawing import save_drawing
from src.analysis.report.png import save
from src.analysis.report.search_figures import front_figure, hypervolume_figure
from src.analysis.spaced import evenly_spaced
from src.ranking.score_table import ScoringProcesses
from src.runtime.errors import Interrupted, UsageError
from src.runtime.interrupts import finishing
from src.runtime.loggers import artifact_of, finish_loggers, log_again, log_picture, log_results, open_loggers
from src.runtime.provenance import store_provenance
from src.runtime.result import read_result, write_result
from src.runtime.result_schemas import SearchResult
from src.runtime.resume import store
from src.runtime.run_folder import (
    ARCHIVE,
    FRONT,
    GENERATIONS,
    LOCK,
    PROVENANCE,
    RESULT,
    SELECTED,
    SOURCE,
    TRUE_FRONT,
    claim,
    replace_file,
    write_json,
)
from src.searching.archive import COLUMNS
from src.searching.loop import Search
from src.supernet.path import parse_path

IN_TABLE = 24
"""Letters of an arch string that the table has room for beside the numbers."""


@dataclass(frozen=True)
class SearchSettings:
    """The settings of a search beside its parts."""

    config: Any
    """As config.yaml stores it."""
    searcher: str
    seed: int
    limit: dict[str, float | list[float]]
    """By cost, those that are set."""
    select: int
    """Networks selected from the front."""
    device: str
    scoring: dict[str, Any]
    """Conditions of a supernet's scores."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder for the length of the block; a refusal removes the folder again if the lock was all in it.

    Raises:
        UsageError: another process has it.
    """
    with claim(folder):
        try:
            yield
        except UsageError:
            if [path.name for path in folder.iterdir()] == [LOCK]:
                (folder / LOCK).unlink()
            raise


@contextmanager
def begin(settings: SearchSettings, search: Search) -> Iterator[None]:
    """Store the search's configuration and provenance; its loggers are open for the length of the block."""
    folder = search.folder
    try:
        open_loggers(search.loggers, OmegaConf.to_container(settings.config, resolve=True))
        log_again(search.loggers, folder / GENERATIONS, "generation", "search/")
        (folder / RESULT).unlink(missing_ok=True)
        store(settings.config, folder, "search")
        write_json(folder / SOURCE, dict(search.source.about))
        store_provenance(folder, str(ScoringProcesses().device(settings.device)), search.source.space.name)
        yield
    finally:
        finish_loggers(search.loggers)


def run_search(search: Search) -> None:
    """Search up to the budget; a signal ends the search after the generation it arrives in.

    Raises:
        Interrupted: a signal arrived.
    """
    with finishing() as stop:
        search.run(stop)
    if not search.is_finished:
        raise Interrupted(f"interrupted after generation {search.generation}; resume it with resume={search.folder}")


def is_finished(settings: SearchSettings, search: Search) -> bool:
    """True if the budget is spent and result.json is written for this number of selected networks."""
    result = read_result(search.folder, SearchResult)
    return search.is_finished and result is not None and result.select == settings.select


def show_finished(search: Search) -> None:
    """Print that nothing is left to do."""
    print(f"{search.folder} is finished: {len(search.archive):,} models ({search.end_reason}), see {RESULT} there")


def write_results(settings: SearchSettings, search: Search) -> None:
    """Write the front, the networks selected from it, figures and result.json, and print one table."""
    # The front, cheapest network first, and a few of it at equal distance over the first cost
    folder, objectives = search.folder, search.archive.objectives
    archive = pd.DataFrame(list(search.archive.rows.values()), columns=list(COLUMNS))
    costs = objectives.computed or ["macs", "params"]
    front_rows = archive.iloc[front(search.archive.values())].sort_values([costs[0], "params"])
    selected = front_rows.iloc[evenly_spaced(front_rows[costs[0]].tolist(), settings.select)]
    for name, table in ((FRONT, front_rows), (SELECTED, selected)):
        replace_file(folder / name, table.to_csv(index=False, lineterminator="\n"))
    # The true front, where the truth of every network is known
    if search.true_front is not None:
        true = pd.DataFrame(search.true_front.rows())
        replace_file(folder / TRUE_FRONT, true.to_csv(index=False, lineterminator="\n"))
    generations = pd.read_csv(folder / GENERATIONS)
    result = search_result(settings, search, generations.iloc[-1], len(front_rows), selected.arch.tolist())
    # Figures, and result.json last: a search that has it is finished
    learnt = objectives.all[objectives.learnt].name
    figures = {"front": front_figure(archive, front_rows, selected, learnt, costs)}
    figures["hypervolume"] = hypervolume_figure(generations)
    for name, figure in figures.items():
        path = save(figure, folder / "figures" / f"{name}.png")
        log_picture(search.loggers, f"search/{name}", path)
    draw_selected(search, selected.path.tolist())
    write_result(folder, result)
    log_files(search, settings)
    show(result, selected, folder)


def draw_selected(search: Search, paths: Sequence[str]) -> None:
    """A drawing of each network selected, as PNG and SVG, to the loggers too."""
    source = search.source
    # of another selection, before the search went on
    for old in (search.folder / "figures").glob("network_*"):
        old.unlink()
    for number, path in enumerate(paths):
        picture = source.space.picture(parse_path(path), source.input_spec)
        if picture is not None:
            stem = search.folder / "figures" / f"network_{number}"
            drawn, _ = save_drawing(f"{source.space.name}: {source.space.format(parse_path(path))}", picture, stem)
            log_picture(search.loggers, f"search/network_{number}", drawn)


def log_files(search: Search, settings: SearchSettings) -> None:
    """Hand archive, front and selection to the loggers, made from the supernets that scored them."""
    supernets = settings.config.get("run") or []
    supernets = [supernets] if isinstance(supernets, str) else supernets
    made_from = [name for supernet in supernets for name in artifact_of("supernet", supernet)]
    files = [search.folder / name for name in (ARCHIVE, FRONT, SELECTED, RESULT)]
    log_results(search.loggers, "archive", files, made_from, table=search.folder / ARCHIVE)


def search_result(
    settings: SearchSettings, search: Search, last: pd.Series[Any], front_size: int, selected: list[str]
) -> SearchResult:
    """The figures of a search whose `last` generation is a row of generations.csv."""
    provenance = json.loads((search.folder / PROVENANCE).read_text())
    evaluator = search.source.about["evaluator"]
    return SearchResult(
        commit=provenance["commit"],
        seed=settings.seed,
        wall_seconds=round(search.seconds, 2),
        searcher=settings.searcher,
        search_space=search.source.space.name,
        evaluator=evaluator,
        scoring=settings.scoring if evaluator == "supernet" else {},
        objectives=search.archive.objectives.names,
        limit=settings.limit,
        select=settings.select,
        selected=selected,
        generations=search.generation,
        ended=search.end_reason,
        models=len(search.archive),
        front=front_size,
        hypervolume=float(last.hypervolume),
        true_hypervolume=None if pd.isna(last.true_hypervolume) else float(last.true_hypervolume),
        true_front=search.true_front.scale() if search.true_front is not None else None,
    )


def show(result: SearchResult, selected: pd.DataFrame, folder: Path) -> None:
    """Print the selected networks, the hypervolume and why the search ended."""
    title = f"{result.searcher} on {result.search_space}: {result.models:,} models, {result.front} on the front"
    table = Table(title=title)
    # columns that hold anything; long arch strings are left to selected.csv, so that numbers stay whole
    name = "arch" if selected.arch.str.len().max() <= IN_TABLE else "path"
    numbers = [c for c in ("accuracy", "loss", "macs", "params", "latency", "truth") if selected[c].notna().any()]
    shown = [name, *numbers]
    for column in shown:
        is_name = column == name
        table.add_column(column, justify="left" if is_name else "right", overflow="fold", no_wrap=not is_name)
    for row in selected[shown].to_dict("records"):
        table.add_row(*_cells(row))
    Console().print(table)
    share = result.true_hypervolume
    print(
        f"hypervolume {result.hypervolume:.4f}"
        + ("" if share is None else f", {100 * share:.1f} % of the true front's")
    )
    print(f"ended: {result.ended}")
    print(f"front: {folder / FRONT}; selected: {folder / SELECTED}")


def _cells(row: Mapping[Any, Any]) -> Sequence[str]:
    formats = {"arch": "{}", "path": "{}", "macs": "{:,}", "params": "{:,}", "latency": "{:.3f} ms"}
    return [formats.get(name, "{:.4f}").format(value) for name, value in row.items()]
