"""bench=step case=growth: seconds of a supernet step against what it is made of, one thing varied at a time.

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
from src.benches.turns import Turns, best_ratio, take_turns, way_rows, with_quartiles
from src.benches.way_process import ways_in_processes
from src.benches.ways import PLAIN, Case
from src.progress import progress

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
    turns: dict[Point, Turns] = {}
    with (
        ways_in_processes(ways) as processes,
        progress("growth", "turn", len(distinct) * cfg.rounds * len(ways)) as bar,
    ):
        for point in distinct:
            turns[point] = take_turns(processes, _case(cfg, point, device), cfg.rounds, cfg.steps, bar)
    rows = {point: _rows(turns[point], point) for point in distinct}
    found = [{"varied": name, **point._asdict(), "ways": rows[point]} for name, point in chosen]
    _add_growth(found)
    return Measured({"growth": found}, _table(found, cfg), min(best_ratio(entry["ways"]) for entry in found))


def _rows(turns: Turns, point: Point) -> list[dict[str, Any]]:
    """Without peaks of memory: a process has one, and here it takes steps of all sizes."""
    rows = way_rows(turns, point.batch_size, point.paths)
    return [{key: value for key, value in row.items() if key != "peak_bytes"} for row in rows]


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


def _add_growth(found: list[dict[str, Any]]) -> None:
    """To each way's row: its seconds over those at the first value of what is varied; None if either did not run."""
    for entry in found:
        first = next(other for other in found if other["varied"] == entry["varied"])
        pairs = zip(entry["ways"], first["ways"], strict=True)
        grown = [
            own["seconds"]["median"] / least["seconds"]["median"] if own["fits"] and least["fits"] else None
            for own, least in pairs
        ]
        entry["ways"] = [row | {"growth": factor} for row, factor in zip(entry["ways"], grown, strict=True)]


def _table(found: list[dict[str, Any]], cfg: DictConfig) -> Table:
    caption = (
        f"{cfg.rounds} rounds of {cfg.steps} steps; {cfg.growth.channels} channels, {cfg.growth.image_size} px; "
        "growth: seconds over those of the first row of the four parts"
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
    growth = f"{row['growth']:.2f}" if row["growth"] else ""
    return [f"{row['seconds']['median']:.3f}", growth, with_quartiles(row["ratio"]) if row["ratio"] else ""]
