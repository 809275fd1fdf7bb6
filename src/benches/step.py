"""bench=step: ways of taking the strict-fairness step against the plain loop, reading and augmentation included.

Every way has a process of its own; they take turns, so that whatever else the machine does meets all.

B images of a mini-batch, m paths of a step.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from src.benches.roofline import Limits, measure_limits, work_of_a_step
from src.benches.timing import Measured, plain_table, spread
from src.benches.way_process import PLAIN, Case, Turn, WayProcess
from src.progress import progress
from src.search_spaces.space import SearchSpace


def run(cfg: DictConfig, device: torch.device) -> Measured:
    """All cases, or the one asked for; the ratio is that of the case whose best way gains least."""
    limits = measure_limits(device)
    cases = {name: _case(cfg, name, device) for name in chosen_cases(cfg)}
    found = {name: measure_case(case, list(cfg.ways), cfg.rounds, cfg.steps, limits) for name, case in cases.items()}
    ratio = min(best_ratio(figures) for figures in found.values())
    figures = {"cases": found, "limits": limits._asdict()}
    return Measured(figures, _table(found, limits, cfg), ratio)


def chosen_cases(cfg: DictConfig) -> list[str]:
    """Names of the cases to run."""
    return [name for name in cfg.cases if cfg.cases[name].get("default")] if cfg.case == "all" else [cfg.case]


def measure_case(case: Case, ways: list[str], rounds: int, steps: int, limits: Limits) -> dict[str, Any]:
    """Turns of the plain loop and of every way, and what they come to."""
    turns = _turns(case, [PLAIN, *ways], rounds, steps)
    space: SearchSpace = instantiate(case.space)
    given = space.reference._replace(image_size=case.image_size)
    bound = work_of_a_step(space, given, case.batch_size).bound(limits)
    paths = max(space.sizes)
    rows = [_row(way, turns, case.batch_size, paths, bound["seconds"]) for way in (PLAIN, *ways)]
    return {"batch_size": case.batch_size, "image_size": case.image_size, "paths": paths, "bound": bound, "ways": rows}


def best_ratio(figures: dict[str, Any]) -> float:
    """Of the fastest way that ran; 0 if none did, or the plain loop did not."""
    return max((row["ratio"]["median"] for row in figures["ways"] if row["way"] != PLAIN and row["ratio"]), default=0.0)


def _case(cfg: DictConfig, name: str, device: torch.device) -> Case:
    case = cfg.cases[name]
    space: Any = OmegaConf.to_container(case.search_space, resolve=True)
    return Case(
        space,
        cfg.image_size or case.image_size,
        cfg.batch_size or case.batch_size,
        torch.get_num_threads(),
        str(device),
        cfg.seed,
        cfg.channels_last,
    )


def _turns(case: Case, ways: list[str], rounds: int, steps: int) -> dict[str, list[Turn | None]]:
    """Every round begins with another way; one that died gets no further turn."""
    turns: dict[str, list[Turn | None]] = {way: [] for way in ways}
    processes = {way: WayProcess(way, case) for way in ways}
    try:
        with progress(f"step of {case.space['_target_'].rpartition('.')[2]}", "turn", rounds * len(ways)) as bar:
            for number in range(rounds):
                first = number % len(ways)
                for way in ways[first:] + ways[:first]:
                    dead = None in turns[way]
                    turns[way].append(None if dead else processes[way].turn(steps))
                    bar.update()
    finally:
        for process in processes.values():
            process.end()
    return turns


def _row(way: str, turns: dict[str, list[Turn | None]], batch: int, paths: int, bound: float) -> dict[str, Any]:
    """Ratios are taken round by round. `fit` is false for a way whose process was killed."""
    mine, plain = turns[way], turns[PLAIN]
    if None in mine:
        return {"way": way, "fits": False, "ratio": None}
    medians = [median(turn.seconds) for turn in mine if turn]
    seconds = spread([value for turn in mine if turn for value in turn.seconds])
    ratios = [median(p.seconds) / own for p, own in zip(plain, medians, strict=True) if p]
    return {
        "way": way,
        "fits": True,
        "seconds": seconds._asdict(),
        "ratio": spread(ratios)._asdict() if len(ratios) == len(mine) else None,
        "peak_bytes": max(turn.peak_bytes for turn in mine if turn),
        "images_per_second": batch / seconds.median,
        "path_images_per_second": batch * paths / seconds.median,
        "fraction_of_limit": bound / seconds.median,
    }


def _table(found: dict[str, dict[str, Any]], limits: Limits, cfg: DictConfig) -> Table:
    caption = (
        f"{cfg.rounds} rounds of {cfg.steps} steps; {limits.flops / 1e9:,.0f} GFLOP/s of a matrix product, "
        f"{limits.bandwidth / 1e9:,.1f} GB/s of a copy"
    )
    table = plain_table("a strict-fairness step, reading and augmentation included", caption)
    table.add_column("case", no_wrap=True)
    table.add_column("way", no_wrap=True)
    for name in ("seconds", "ratio to plain", "peak GB", "images/s", "path-images/s", "of the bound"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, figures in found.items():
        for row in figures["ways"]:
            table.add_row(name if row["way"] == PLAIN else "", row["way"], *_cells(row))
        bound = figures["bound"]
        table.add_row("", f"bound by {bound['bound_by']}", f"{bound['seconds']:.2f}", "", "", "", "", "")
        table.add_section()
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    if not row["fits"]:
        return ["out of memory", *[""] * 5]
    seconds, ratio = row["seconds"], row["ratio"]
    return [
        f"{seconds['median']:.2f} ({seconds['low']:.2f}–{seconds['high']:.2f})",
        f"{ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})" if ratio else "",
        f"{row['peak_bytes'] / 1e9:.2f}",
        f"{row['images_per_second']:,.0f}",
        f"{row['path_images_per_second']:,.0f}",
        f"{row['fraction_of_limit']:.0%}",
    ]
