"""bench=step case=expanded_mini: steps of a network space search, against a plain step of the largest network.

The plain step is that of a script: the largest network by itself, forward, backward, SGD. All take turns on the same
images, and Theta stays where it begins, so that all networks are as likely throughout.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from rich.table import Table
from torch.nn import functional as F

from src.benches.build import MaskedSettings
from src.benches.lone_step import LoneStep
from src.benches.method_turns import timed
from src.benches.timing import Measured, Spread, noise, plain_table, spread
from src.datasets.dataset import Batch
from src.samplers.network_space_search import NetworkSpaceSearch
from src.samplers.plan import ARCHITECTURE, WEIGHTS, Plan
from src.samplers.sampler import PlannedRun

PLAIN, HARD, SOFT, THETA = "largest network", "weights, hard", "weights, soft", "Theta"
STEP = "whole step: Theta, then weights, hard"
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    HARD: ("hard", (WEIGHTS,)),
    SOFT: ("soft", (WEIGHTS,)),
    THETA: ("hard", (ARCHITECTURE,)),
    STEP: ("hard", (ARCHITECTURE, WEIGHTS)),
}
"""How the weights are trained, and which updates of a step are taken."""
RUN_STEPS = 10**6
"""Of the run that the steps belong to: long enough for Theta to stay where it begins, at equal probabilities."""


class SomeUpdates(NetworkSpaceSearch):
    """A network space search of which some updates are taken."""

    kept: tuple[str, ...] = ()

    def plan(self) -> Plan:
        """The updates of the kinds that are kept."""
        return [update for update in super().plan() if update.trains in self.kept]


def run(settings: MaskedSettings, device: torch.device) -> Measured:
    """Prepare all, time them in turns; the ratio is that of hard weights."""
    (batch,) = noise(settings.input_spec, settings.batch_size, 1, settings.seed).batches(
        "train", settings.batch_size, device
    )
    # the same images for all, already on the device: reading is timed elsewhere
    steps = {PLAIN: plain_step(settings, batch)} | {name: prepared(settings, batch, name) for name in METHODS}
    for step in steps.values():
        step()  # momentum is allocated, caches are filled
    seconds = timed(steps, device, settings.rounds, settings.steps)
    rows: list[dict[str, Any]] = [
        {
            "method": name,
            "seconds": spread(own)._asdict(),
            "of_plain": spread([a / b for a, b in zip(own, seconds[PLAIN], strict=True)])._asdict(),
        }
        for name, own in seconds.items()
    ]
    ratio = 1 / next(row["of_plain"]["median"] for row in rows if row["method"] == HARD)
    return Measured({"search_space": settings.space.name, "methods": rows}, _table(rows, settings), ratio)


def plain_step(settings: MaskedSettings, batch: Batch) -> Callable[[], None]:
    """A step of the largest network, as a script has it."""
    _, largest = settings.space.extremes()
    torch.manual_seed(settings.seed)
    net = settings.space.build_path(largest, *settings.input_spec).to(batch.images.device)
    optimizer = torch.optim.SGD(net.parameters(), 0.0, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(batch.images), batch.labels).backward()
        optimizer.step()

    return step


def prepared(settings: MaskedSettings, batch: Batch, name: str) -> Callable[[], None]:
    """A supernet with a search of it, of whose steps the named updates are taken."""
    weights, kept = METHODS[name]
    space, device = settings.space, batch.images.device
    torch.manual_seed(settings.seed)
    net = space.build(*settings.input_spec)
    net = net.to(memory_format=torch.channels_last if settings.channels_last else torch.contiguous_format).to(device)
    # any target does, since Theta stays where it is
    middle = sum(space.costs(path, settings.input_spec).macs for path in space.extremes()) / 2
    sampler = SomeUpdates(
        space.sizes,
        settings.seed,
        cost={"of": "macs", "target": middle, "weight": 1.0, "form": "log"},
        partition=settings.partition,
        theta={"lr": 1e-4, "betas": [0.5, 0.999], "weight_decay": 0.0},
        weights=weights,
    )
    sampler.kept = kept
    sampler.prepare(space, net, PlannedRun(RUN_STEPS, 1, settings.input_spec))
    sampler.architecture.to(device)
    step = LoneStep(net, sampler, lambda n: torch.optim.SGD(n.parameters(), 0.0, momentum=0.9))
    step.search_batches = itertools.repeat(batch)
    return lambda: step.training_step(batch, 0)


def _table(rows: list[dict[str, Any]], settings: MaskedSettings) -> Table:
    images = f"{settings.batch_size} images of {settings.input_spec.image_size} px"
    caption = f"median and quartiles of {settings.rounds} rounds of {settings.steps} steps; the plain net is contiguous"
    table = plain_table(f"{settings.space.name}: steps of a network space search on {images}", caption)
    table.add_column("step", no_wrap=True)
    for name in ("ms", "of the largest network's, %"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        time, share = Spread(**row["seconds"]).times(1e3), Spread(**row["of_plain"]).times(100)
        cells = [f"{each.median:.1f} ({each.low:.1f}–{each.high:.1f})" for each in (time, share)]
        table.add_row(row["method"], *cells)
    return table
