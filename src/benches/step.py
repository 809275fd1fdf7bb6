"""bench=step: ways of taking the strict-fairness step against the plain loop, reading and augmentation included.

Every way has a process of its own; they take turns, so that whatever else the machine does meets all.

B images of a mini-batch, m paths of a step.
"""

from __future__ import annotations

from typing import Any

import torch
from hydra.utils import instantiate
from rich.table import Table

from src.benches import growth, masked
from src.benches.build import GrowthSettings, MaskedSettings, StepBenchSettings, StepSettings
from src.benches.roofline import Limits, measure_limits, work_of_a_step
from src.benches.timing import Measured, plain_table
from src.benches.turns import best_ratio, no_turns, take_round, way_rows, with_quartiles
from src.benches.way_process import ways_in_processes
from src.benches.ways import PLAIN, Case
from src.runtime.devices import allow_tf32
from src.runtime.progress import progress
from src.search_spaces.space import SearchSpace


def run(settings: StepSettings, device: torch.device) -> Measured:
    """All cases, or the one asked for; the ratio is that of the case whose best way gains least."""
    if isinstance(settings, GrowthSettings):
        return growth.run(settings, device)
    if isinstance(settings, MaskedSettings):
        return masked.run(settings, device)
    allow_tf32(settings.tf32)
    halved = (
        settings.precision == "bf16-mixed" and device.type == "cuda"
    )  # a CPU without bf16 takes seconds for a product
    limits = measure_limits(device, torch.bfloat16 if halved else torch.float32)
    by_case = {
        name: measure_case(case, settings.executions, settings.rounds, settings.steps, limits)
        for name, case in settings.cases.items()
    }
    ratio = min(best_ratio(figures["ways"]) for figures in by_case.values())
    figures = {"cases": by_case, "limits": limits._asdict()}
    return Measured(figures, _table(by_case, limits, settings), ratio)


def measure_case(case: Case, ways: list[str], rounds: int, steps: int, limits: Limits) -> dict[str, Any]:
    """Turns of the plain loop and of every way, and what they come to."""
    name, ways = case.space["_target_"].rpartition(".")[2], [PLAIN, *ways]
    with ways_in_processes(ways) as processes, progress(f"step of {name}", "turn", rounds * len(ways)) as bar:
        turns = no_turns(ways)
        for _ in range(rounds):
            take_round(processes, case, steps, turns, bar)
    space: SearchSpace = instantiate(case.space)
    input_spec = space.reference._replace(image_size=case.image_size)
    bound = work_of_a_step(space, input_spec, case.batch_size).bound(limits)
    paths = max(space.sizes)
    rows = [_with_bound(row, bound["seconds"]) for row in way_rows(turns, case.batch_size, paths)]
    return {"batch_size": case.batch_size, "image_size": case.image_size, "paths": paths, "bound": bound, "ways": rows}


def _with_bound(row: dict[str, Any], bound: float) -> dict[str, Any]:
    return row | {"fraction_of_limit": bound / row["seconds"]["median"]} if row["fits"] else row


def _table(by_case: dict[str, dict[str, Any]], limits: Limits, settings: StepBenchSettings) -> Table:
    caption = (
        f"{settings.rounds} rounds of {settings.steps} steps; {limits.flops / 1e9:,.0f} GFLOP/s of a matrix product, "
        f"{limits.bandwidth / 1e9:,.1f} GB/s of a copy; first: seconds of the first step"
    )
    table = plain_table("a strict-fairness step against the plain loop, reading and augmentation included", caption)
    table.add_column("case", no_wrap=True)
    table.add_column("way", no_wrap=True)
    for name in ("seconds", "first", "ratio", "peak GB", "images/s", "path-images/s", "of bound"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, figures in by_case.items():
        for row in figures["ways"]:
            table.add_row(name if row["way"] == PLAIN else "", row["way"], *_cells(row))
        # the least that the hardware needs for the arithmetic and the memory traffic
        bound = figures["bound"]
        table.add_row("", f"bound by {bound['bound_by']}", f"{bound['seconds']:.2f}", *[""] * 6)
        table.add_section()
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    if not row["fits"]:
        return ["out of memory", *[""] * 6]
    return [
        with_quartiles(row["seconds"]),
        f"{row['first_step_seconds']:.1f}",
        with_quartiles(row["ratio"]) if row["ratio"] else "",
        f"{row['peak_bytes'] / 1e9:.2f}",
        f"{row['images_per_second']:,.0f}",
        f"{row['path_images_per_second']:,.0f}",
        f"{row['fraction_of_limit']:.0%}",
    ]
