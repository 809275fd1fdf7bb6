"""bench=step case=growth: seconds of a supernet step against what it is made of, one thing varied at a time.

Every round visits all points, so that whatever else the machine does meets all.

B images of a mini-batch, L layers, m choices of a layer, R paths of an update. Strict fairness has R = m; where R is
varied, the choices are dealt to R paths as evenly as can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from rich.table import Table

from src.benches.build import VARIED, GrowthSettings
from src.benches.timing import Measured, plain_table
from src.benches.turns import Turns, best_ratio, no_turns, over, take_round, way_rows, with_quartiles
from src.benches.way_process import ways_in_processes
from src.benches.ways import PLAIN, Case
from src.runtime.progress import progress


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


def run(settings: GrowthSettings, device: torch.device) -> Measured:
    """All points, each measured once however often it is shown; the ratio is that of the one that gains least."""
    chosen = list(points(settings))
    ways = [PLAIN, *settings.executions]
    distinct = list(dict.fromkeys(point for _, point in chosen))
    turns = {point: no_turns(ways) for point in distinct}
    bar = progress("growth", "turn", len(distinct) * settings.rounds * len(ways))
    with ways_in_processes(ways) as processes, bar:
        for _ in range(settings.rounds):
            for point in distinct:
                take_round(processes, point_case(settings, point), settings.steps, turns[point], bar)
    first = dict(reversed(chosen))
    entries = [_entry(name, point, turns[point], turns[first[name]]) for name, point in chosen]
    return Measured({"growth": entries}, _table(entries, settings), min(best_ratio(entry["ways"]) for entry in entries))


def _entry(name: str, point: Point, turns: Turns, first: Turns) -> dict[str, Any]:
    """Figures of a point; `growth` of a way is its seconds over those at the `first` value of what is varied."""
    rows = []
    for row in way_rows(turns, point.batch_size, point.paths):
        growth = over(turns[row["way"]], first[row["way"]])
        rows.append(row | {"growth": growth and growth._asdict()})
        rows[-1].pop("peak_bytes", None)  # a process has one, and here it takes steps of all sizes
    return {"varied": name, **point._asdict(), "ways": rows}


def points(settings: GrowthSettings) -> Iterator[tuple[str, Point]]:
    """(what is varied, point), each list of values in its order; paths follow the choices unless they are varied."""
    for name in VARIED:
        for value in settings.values[name]:
            varied = settings.base | {name: value}
            yield name, Point(**({"paths": varied["choices"]} | varied))


def point_case(settings: GrowthSettings, point: Point) -> Case:
    """The step of a point, as plain values for another process."""
    space = {
        "_target_": "src.benches.blocks.Blocks",
        "layers": point.layers,
        "choices": point.choices,
        "channels": settings.channels,
    }
    return settings.case._replace(space=space, batch_size=point.batch_size, paths=point.paths)


def _table(entries: list[dict[str, Any]], settings: GrowthSettings) -> Table:
    caption = (
        f"{settings.rounds} rounds of {settings.steps} steps; {settings.channels} channels, "
        f"{settings.case.image_size} px; growth: over the first row of the part"
    )
    table = plain_table("growth of a supernet step, one thing varied at a time", caption)
    for name in (*VARIED, "way", "seconds", "growth", "ratio to plain"):
        table.add_column(
            name.replace("batch_size", "batch"), justify="left" if name == "way" else "right", no_wrap=True
        )
    for number, entry in enumerate(entries):
        # a part of the table for each thing that is varied
        if number and entry["varied"] != entries[number - 1]["varied"]:
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
