"""bench=overhead: the supernet step under Lightning's loop against a bare loop that computes the same.

Same net, images on the device, augmentation, paths, optimizer; journal and checkpoints are left out, which work now and
then. They take turns in one process; a step's time is from the end of the one before to its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from rich.table import Table
from torch.nn import functional as F

from src.benches.build import OverheadSettings
from src.benches.timing import Measured, Spread, clock, noise, plain_table, spread
from src.datasets.dataset import TrainLoader
from src.runtime.cpu_memory import keep_freed_memory
from src.runtime.lightning import quiet
from src.runtime.progress import progress
from src.samplers.strict_fair import StrictFair
from src.search_spaces.space import SearchSpace
from src.supernet.supernet import Supernet
from src.training.step import SupernetStep
from src.training.step_settings import StepSchedule, StepSettings


def run(settings: OverheadSettings, device: torch.device) -> Measured:
    """Both cases, or the one asked for; the ratio is the first one's bare time / ours."""
    quiet()
    if device.type == "cpu":
        keep_freed_memory()
    by_case = {name: _measure(settings, name, device) for name in settings.cases}
    first = next(iter(by_case.values()))
    return Measured({"cases": by_case}, _table(by_case, settings), 1 / (1 + first["overhead"]["median"]))


def _measure(settings: OverheadSettings, name: str, device: torch.device) -> dict[str, Any]:
    (space, input_spec), batch_size = settings.cases[name], settings.batch_size
    data = noise(input_spec, 4 * batch_size, 1, settings.seed, shift=2, flip=True)
    torch.manual_seed(settings.seed)
    net: Supernet = space.build(*input_spec).to(memory_format=torch.channels_last).to(device)
    loader = partial(data.train_loader, batch_size, settings.steps + 1, settings.seed, device)
    # which loop goes first alternates: the second finds caches filled
    bare, ours = list[float](), list[float]()
    with progress(f"overhead on {space.name}", "round", settings.rounds) as bar:
        for number in range(settings.rounds):
            turns = [(bare, bare_loop), (ours, lightning_loop)]
            for seconds, loop in turns if number % 2 else turns[::-1]:
                seconds.append(median(loop(net, space, loader(), settings.seed + number, device)))
            bar.update()
    overhead = spread([mine / theirs - 1 for mine, theirs in zip(ours, bare, strict=True)])
    figures = {"batch_size": batch_size, "bare_seconds": spread(bare)._asdict(), "seconds": spread(ours)._asdict()}
    return figures | {"overhead": overhead._asdict()}


def bare_loop(
    net: Supernet, space: SearchSpace, loader: TrainLoader, seed: int, device: torch.device
) -> Iterator[float]:
    """Seconds of each step but the first."""
    sampler, optimizer = StrictFair(space.sizes, seed), torch.optim.SGD(net.parameters(), 0.0, momentum=0.9)
    net.train()
    before = None
    for batch in loader:
        optimizer.zero_grad()
        for path in sampler.plan()[0].routes:
            F.cross_entropy(net(batch.images, path), batch.labels).backward()
        optimizer.step()
        now = clock(device)
        if before is not None:
            yield now - before
        before = now


def lightning_loop(
    net: Supernet, space: SearchSpace, loader: TrainLoader, seed: int, device: torch.device
) -> list[float]:
    """Seconds of each step but the first, under a Trainer as training sets it up."""
    times = _Times(device)
    step = SupernetStep(
        net,
        StrictFair(space.sizes, seed),
        StepSettings(),
        lambda n: torch.optim.SGD(n.parameters(), 0.0, momentum=0.9),
        StepSchedule(lambda number: 0.0),
    )
    trainer = pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[times],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(step, loader)
    return times.seconds


class _Times(pl.Callback):
    """The clock at the end of each step."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, list[float]()
        self.before: float | None = None

    def on_train_batch_end(self, *_: Any) -> None:
        now = clock(self.device)
        if self.before is not None:
            self.seconds.append(now - self.before)
        self.before = now


def _table(by_case: dict[str, dict[str, Any]], settings: OverheadSettings) -> Table:
    caption = f"medians of {settings.steps} steps, median and quartiles of {settings.rounds} rounds"
    table = plain_table("a strict-fairness step under Lightning against a bare loop", caption)
    for name in ("case", "bare, ms", "ours, ms", "overhead, %"):
        table.add_column(name, justify="left" if name == "case" else "right", no_wrap=True)
    for name, figures in by_case.items():
        bare, ours = figures["bare_seconds"]["median"] * 1e3, figures["seconds"]["median"] * 1e3
        low, middle, high = Spread(**figures["overhead"]).times(100)
        table.add_row(name, f"{bare:.2f}", f"{ours:.2f}", f"{middle:+.1f} ({low:+.1f} to {high:+.1f})")
    return table
