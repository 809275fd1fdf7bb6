"""bench=inter_choice: time and memory that inter-choice weights add to a training step (Laube and Zell 2021, table 1).

Seven supernets take turns on the same paths and images.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from rich.table import Table

from src.benches.build import InterChoiceSettings
from src.benches.lone_step import LoneStep, largest_need
from src.benches.timing import Measured, Spread, clock, noise, plain_table, spread
from src.datasets.dataset import Batch
from src.runtime.progress import progress
from src.samplers.uniform import Uniform
from src.supernet.inter_choice import Attention, Bias, InterChoice, SharedBias, Split, split_weights

METHODS: dict[str, Callable[[], InterChoice]] = {
    "none": InterChoice,
    "bias": Bias,
    "bias_2": partial(Bias, 2),
    "bias_3": partial(Bias, 3),
    "shared_bias": SharedBias,
    "attention": Attention,
    "split": Split,
}
"""The options of conf/inter_choice; `split` has been split before it is timed."""
PLAIN = "none"


class Candidate(NamedTuple):
    """One method, ready to be timed."""

    step: LoneStep
    parameters: int
    bytes: int


def run(settings: InterChoiceSettings, device: torch.device) -> Measured:
    """Prepare all, time them in turns."""
    space, input_spec = settings.space, settings.input_spec
    (batch,) = noise(input_spec, settings.batch_size, 1, settings.seed).batches("train", settings.batch_size, device)
    prepare = partial(_prepare, settings, batch)
    prepare(PLAIN)  # what the device sets up once belongs to no method
    candidates = {name: prepare(name) for name in METHODS}
    seconds = _timed(
        {name: candidate.step for name, candidate in candidates.items()}, batch, settings.rounds, settings.steps
    )
    methods = [_row(name, candidates, seconds) for name in METHODS]
    figures = {"search_space": space.name, "methods": methods}
    increase = next(row["increase"]["median"] for row in methods if row["method"] == "bias")
    return Measured(figures, _table(figures, settings, device), 1 / (1 + increase))


def _prepare(settings: InterChoiceSettings, batch: Batch, name: str) -> Candidate:
    """Build, attach, split, and take a turn of steps that warms up and shows the memory they need."""
    device, space, input_spec = batch.images.device, settings.space, settings.input_spec
    before = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    torch.manual_seed(settings.seed)
    # the same weights for every method, and its own tables or copies
    net = space.build(*input_spec)
    net = net.to(memory_format=torch.channels_last if settings.channels_last else torch.contiguous_format)
    method = METHODS[name]()
    method.attach(net, torch.zeros(2, input_spec.in_channels, input_spec.image_size, input_spec.image_size))
    if isinstance(method, Split):
        split_weights(net)
    # momentum is allocated now, as it is from the second step of a run on
    optimizer = partial(settings.optimizer, method.weight_decay)
    step = LoneStep(net.to(device), Uniform(space.sizes, settings.seed), optimizer)
    step.fill_state()
    needed = largest_need(step, batch, settings.steps, before)
    return Candidate(step, sum(parameter.numel() for parameter in net.parameters()), needed)


def _timed(steps: dict[str, LoneStep], batch: Batch, rounds: int, count: int) -> dict[str, list[float]]:
    """Seconds a step in each round. Every round starts with another method, and draws other paths for all."""
    device, names = batch.images.device, list(steps)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with progress("train", "round", rounds) as bar:
        for number in range(rounds):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                start = clock(device)
                for i in range(count):
                    steps[name].training_step(batch, i)
                seconds[name].append((clock(device) - start) / count)
            bar.update()
    return seconds


def _row(name: str, candidates: dict[str, Candidate], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """The figures of a method; its increase in time is taken round by round, since rounds differ in their paths."""
    candidate, plain = candidates[name], candidates[PLAIN]
    increases = [ours / theirs - 1 for ours, theirs in zip(seconds[name], seconds[PLAIN], strict=True)]
    return {
        "method": name,
        "seconds": spread(seconds[name])._asdict(),
        "increase": spread(increases)._asdict(),
        "parameters": candidate.parameters,
        "parameters_ratio": candidate.parameters / plain.parameters,
        "bytes": candidate.bytes,
        "bytes_increase": candidate.bytes / plain.bytes - 1,
    }


def _table(figures: dict[str, Any], settings: InterChoiceSettings, device: torch.device) -> Table:
    images = f"{settings.batch_size} images of {settings.input_spec.image_size} px"
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
