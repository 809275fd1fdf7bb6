"""bench=step case=growth: seconds of a supernet step against what it is made of, one thing varied at a time.

Every round visits all points, so that whatever else the machine does meets all.

B images of a mini-batch, L layers, m choices of a layer, R paths of an update. Strict fairness has R = m; where R is
varied, the choices are dealt to R paths as evenly as can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig
from rich.table import Table

from src.benches.timing import Measured, plain_table
from src.benches.turns import Turns, best_ratio, no_turns, over, take_round, way_rows, with_quartiles
from src.benches.way_process import ways_in_processes
from src.benches.ways import PLAIN, Case
from src.runtime.progress import progress

VARIED = ("choices", "layers", "batch_size", "paths")


class Point(NamedTuple):
    """One step to be timed."""

    choices: int
    """m"""
    layers: int
    """L"""
    batch_size: int
    """B"""
    paths: int
    """R"""


def run(cfg: DictConfig, device: torch.device) -> Measured:
    """All points, each measured once however often it is shown; the ratio is that of the one that gains least."""
    chosen = list(points(cfg.growth))
    ways = [PLAIN, *cfg.ways]
    distinct = list(dict.fromkeys(point for _, point in chosen))
    turns = {point: no_turns(ways) for point in distinct}
    bar = progress("growth", "turn", len(distinct) * cfg.rounds * len(ways))
    with ways_in_processes(ways) as processes, bar:
        for _ in range(cfg.rounds):
            for point in distinct:
                take_round(processes, _case(cfg, point, device), cfg.steps, turns[point], bar)
    first = dict(reversed(chosen))
    found = [_entry(name, point, turns[point], turns[first[name]]) for name, point in chosen]
    return Measured({"growth": found}, _table(found, cfg), min(best_ratio(entry["ways"]) for entry in found))


def _entry(name: str, point: Point, turns: Turns, first: Turns) -> dict[str, Any]:
    """Figures of a point; `growth` of a way is its seconds over those at the `first` value of what is varied."""
    rows = []
    for row in way_rows(turns, point.batch_size, point.paths):
        growth = over(turns[row["way"]], first[row["way"]])
        rows.append(row | {"growth": growth and growth._asdict()})
        rows[-1].pop("peak_bytes", None)  # a process has one, and here it takes steps of all sizes
    return {"varied": name, **point._asdict(), "ways": rows}


def points(growth: DictConfig) -> Iterator[tuple[str, Point]]:
    """(what is varied, point), each list of values in its order; paths follow the choices unless they are varied."""
    base = {name: growth.base[name] for name in VARIED[:-1]}
    for name in VARIED:
        for value in growth[name]:
            varied = base | {name: value}
            yield name, Point(**({"paths": varied["choices"]} | varied))


def _case(cfg: DictConfig, point: Point, device: torch.device) -> Case:
    space = {
        "_target_": "src.benches.blocks.Blocks",
        "layers": point.layers,
        "choices": point.choices,
        "channels": cfg.growth.channels,
    }
    how = {key: cfg[key] for key in ("seed", "channels_last", "precision", "tf32")}
    sizes = (cfg.growth.image_size, point.batch_size, torch.get_num_threads())
    return Case(space, *sizes, str(device), paths=point.paths, **how)


def _table(found: list[dict[str, Any]], cfg: DictConfig) -> Table:
    caption = (
        f"{cfg.rounds} rounds of {cfg.steps} steps; {cfg.growth.channels} channels, {cfg.growth.image_size} px; "
        "growth: over the first row of the part"
    )
    table = plain_table("growth of a supernet step, one thing varied at a time", caption)
    for name in (*VARIED, "way", "seconds", "growth", "ratio to plain"):
        table.add_column(
            name.replace("batch_size", "batch"), justify="left" if name == "way" else "right", no_wrap=True
        )
    for number, entry in enumerate(found):
        if number and entry["varied"] != found[number - 1]["varied"]:
            table.add_section()
        for row in entry["ways"]:
            about = [str(entry[name]) if row["way"] == PLAIN else "" for name in VARIED]
            table.add_row(*about, row["way"], *_cells(row))
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    if not row["fits"]:
        return ["out of memory", "", ""]
    growth, ratio = (with_quartiles(row[key]) if row[key] else "" for key in ("growth", "ratio"))
    return [f"{row['seconds']['median']:.3f}", growth, ratio]
