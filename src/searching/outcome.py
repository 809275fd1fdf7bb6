"""A search carried through, and what it found: the front, a few networks of it, figures, result.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from src.analysis.figures import save
from src.analysis.search_figures import front_figure, hypervolume_figure
from src.analysis.spaced import evenly_spaced
from src.command import Interrupted
from src.errors import UsageError
from src.loggers import finish_loggers, open_loggers
from src.objectives import front
from src.provenance import store_provenance
from src.resume import store
from src.run_folder import PROVENANCE, RESULT, claim, replace_file, write_json
from src.scoring import Ranks
from src.searching.archive import FRONT, GENERATIONS, SELECTED
from src.searching.loop import Search
from src.signals import finishing

SOURCE = "source.json"
"""What scored the networks: weights, steps, images."""


@contextmanager
def begin(cfg: DictConfig, search: Search) -> Iterator[None]:
    """The folder is this process's own for the length of the block; what the search is stands in it.

    Raises:
        UsageError: the networks scored before were scored by something else.
    """
    folder = search.folder
    with claim(folder):
        try:
            _check_source(search)
            open_loggers(search.loggers, OmegaConf.to_container(cfg, resolve=True), folder)
            (folder / RESULT).unlink(missing_ok=True)
            store(cfg, folder)
            write_json(folder / SOURCE, dict(search.source.about))
            store_provenance(folder, str(Ranks().device(cfg.device)), search.source.space.name)
            yield
        finally:
            finish_loggers(search.loggers)


def _check_source(search: Search) -> None:
    file = search.folder / SOURCE
    now = dict(search.source.about)
    stored = json.loads(file.read_text()) if file.exists() and search.generation else now
    if stored != now:
        raise UsageError(f"{search.folder} was begun with other scores: {stored}, now {now}: start a new search")


def search_on(search: Search) -> None:
    """Up to the budget; a signal ends the search after the generation it arrives in.

    Raises:
        Interrupted: a signal arrived.
    """
    with finishing() as stop:
        search.run(stop)
    if not search.is_over:
        raise Interrupted(f"interrupted after generation {search.generation}; go on with resume={search.folder}")


def is_finished(search: Search) -> bool:
    """Over, and concluded for this budget and selection."""
    return search.is_over and (search.folder / RESULT).exists() and (search.folder / SELECTED).exists()


def conclude(cfg: DictConfig, search: Search) -> None:
    """Write the front and all that is drawn of it, and show one table."""
    folder, paths = search.folder, list(search.archive.rows)
    archive = pd.DataFrame([search.archive.rows[path] for path in paths])
    rows = front(search.archive.values())
    found = archive.iloc[rows].sort_values(["macs", "params"])
    selected = found.iloc[evenly_spaced(found.macs.tolist(), cfg.select)]
    for name, table in ((FRONT, found), (SELECTED, selected)):
        replace_file(folder / name, table.to_csv(index=False, lineterminator="\n"))
    generations = pd.read_csv(folder / GENERATIONS)
    result = _result(cfg, search, generations, len(found)) | {"selected": selected.arch.tolist()}
    figures = {
        "front": front_figure(archive, found, selected, _learnt(search)),
        "hypervolume": hypervolume_figure(generations),
    }
    for name, figure in figures.items():
        path = save(figure, folder / "figures" / f"{name}.png")
        for logger in search.loggers:
            logger.log_image(f"search/{name}", [str(path)])
    write_json(folder / RESULT, result)
    show(result, selected, folder)


def _learnt(search: Search) -> str:
    return search.archive.objectives.all[search.archive.objectives.learnt].name


def _result(cfg: DictConfig, search: Search, generations: pd.DataFrame, size: int) -> dict[str, Any]:
    """The figures of the search, as result.json keeps them."""
    provenance = json.loads((search.folder / PROVENANCE).read_text())
    last = generations.iloc[-1]
    true = last.true_hypervolume
    return {
        "command": "search",
        "searcher": cfg.choices.searcher,
        "search_space": search.source.space.name,
        "evaluator": search.source.about["evaluator"],
        "seed": cfg.seed,
        "objectives": list(cfg.objectives),
        "limit": {name: value for name, value in cfg.limit.items() if value is not None},
        "generations": search.generation,
        "models": len(search.archive),
        "front": size,
        "hypervolume": float(last.hypervolume),
        "true_hypervolume": None if pd.isna(true) else float(true),
        "wall_seconds": round(search.seconds, 2),
        "commit": provenance["commit"],
    }


def show(result: dict[str, Any], selected: pd.DataFrame, folder: Path) -> None:
    """The selected networks, and what the search came to."""
    title = (
        f"{result['searcher']} on {result['search_space']}: {result['models']:,} models, {result['front']} on the front"
    )
    table = Table(title=title)
    shown = [
        name
        for name in ("arch", "accuracy", "loss", "macs", "params", "latency", "truth")
        if selected[name].notna().any()
    ]
    for name in shown:
        is_arch = name == "arch"
        table.add_column(name, justify="left" if is_arch else "right", overflow="fold", no_wrap=not is_arch)
    for row in selected[shown].to_dict("records"):
        table.add_row(*_cells(row))
    Console().print(table)
    share = result["true_hypervolume"]
    print(
        f"hypervolume {result['hypervolume']:.4f}"
        + ("" if share is None else f", {100 * share:.1f} % of the true front's")
    )
    print(f"front: {folder / FRONT}; selected: {folder / SELECTED}")


def _cells(row: Mapping[Any, Any]) -> Sequence[str]:
    formats = {"arch": "{}", "macs": "{:,}", "params": "{:,}", "latency": "{:.3f} ms"}
    return [formats.get(name, "{:.4f}").format(value) for name, value in row.items()]
