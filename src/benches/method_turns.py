"""Methods of training a supernet that take turns at their step, and what each adds to a plain one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from rich.table import Table

from src.benches.build import RoundSettings
from src.benches.lone_step import LoneStep
from src.benches.timing import Spread, clock, plain_table, spread
from src.datasets.dataset import Batch
from src.runtime.progress import progress


class TimedMethod(NamedTuple):
    """One method, ready to be timed."""

    step: LoneStep
    parameters: int
    bytes: int


def timed(
    steps: Mapping[str, Callable[[], None]], device: torch.device, rounds: int, count: int
) -> dict[str, list[float]]:
    """Seconds a step in each round of `count` steps each. Every round starts with another method."""
    names = list(steps)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with progress("train", "round", rounds) as bar:
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                start = clock(device)
                for _ in range(count):
                    steps[name]()
                seconds[name].append((clock(device) - start) / count)
            bar.update()
    return seconds


def timed_rows(
    timed_methods: dict[str, TimedMethod], plain: str, batch: Batch, rounds: int, count: int
) -> list[dict[str, Any]]:
    """Time all in turns of `count` steps; a row of figures for each, beside the `plain` one."""
    steps = {name: partial(each.step.training_step, batch, 0) for name, each in timed_methods.items()}
    seconds = timed(steps, batch.images.device, rounds, count)
    return [method_row(name, plain, timed_methods, seconds) for name in timed_methods]


def method_row(
    name: str, plain_name: str, timed_methods: dict[str, TimedMethod], seconds: dict[str, list[float]]
) -> dict[str, Any]:
    """The figures of a method; its increase in time is taken round by round, since rounds differ in their paths."""
    timed_method, plain = timed_methods[name], timed_methods[plain_name]
    increases = [ours / theirs - 1 for ours, theirs in zip(seconds[name], seconds[plain_name], strict=True)]
    return {
        "method": name,
        "seconds": spread(seconds[name])._asdict(),
        "increase": spread(increases)._asdict(),
        "parameters": timed_method.parameters,
        "parameters_ratio": timed_method.parameters / plain.parameters,
        "bytes": timed_method.bytes,
        "bytes_increase": timed_method.bytes / plain.bytes - 1,
    }


def method_table(
    figures: dict[str, Any], settings: RoundSettings, batch_size: int, image_size: int, device: torch.device
) -> Table:
    """Time and memory of each method in `figures`."""
    images = f"{batch_size} images of {image_size} px"
    title = f"{figures['search_space']}: a training step on {images}"
    table = plain_table(title, f"median and quartiles of {settings.rounds} rounds of {settings.steps} steps")
    table.add_column("\nmethod", no_wrap=True)
    memory = "peak" if device.type == "cuda" else "counted"
    for name in ("time\nms", "\nincrease, %", "\nparameters", "\ntimes", f"{memory}\nMB", "more\n%"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in figures["methods"]:
        table.add_row(row["method"], *_cells(row))
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    time, increase = Spread(**row["seconds"]).times(1e3), Spread(**row["increase"]).times(100)
    return [
        f"{time.median:.1f} ({time.low:.1f}–{time.high:.1f})",
        f"{increase.median:+.0f} ({increase.low:+.0f} to {increase.high:+.0f})",
        f"{row['parameters']:,}",
        f"{row['parameters_ratio']:.2f}",
        f"{row['bytes'] / 1e6:,.1f}",
        f"{100 * row['bytes_increase']:+.0f}",
    ]
