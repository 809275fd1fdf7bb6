"""One training run carried through: begun, trained up to its budget or a signal, closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, Protocol

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from src.datasets.dataset import Dataset, TrainLoader
from src.runtime.checkpoint import checkpoint_path
from src.runtime.cpu_memory import keep_freed_memory
from src.runtime.errors import Interrupted, RunError
from src.runtime.interrupts import Stop, finishing
from src.runtime.loggers import finish_loggers, open_loggers
from src.runtime.provenance import store_provenance
from src.runtime.resume import cut_back_tables, store
from src.runtime.run_folder import RESULT, SCORES, SPLIT, claim
from src.supernet.evaluator import Evaluator, ScoringSettings
from src.supernet.path import ArchPath
from src.training.budget import Budget
from src.training.build import Run
from src.training.meters import Stopwatch
from src.training.metrics_writer import LogSchedule, MetricsWriter

VALIDATION = 3
"""Seed of the fixed validation paths."""


class Steps(Protocol):
    """What is trained, counted in steps."""

    stop: Stop
    stopwatch: Stopwatch

    @property
    def stopping(self) -> bool:
        """Whether the run ends after this step."""

    @property
    def steps(self) -> int:
        """Those that are complete."""


class AnyRun(Protocol):
    """What begins, ends and goes on alike: the training of a supernet, and of a stand-alone network."""

    cfg: DictConfig
    folder: Path
    dataset: Dataset
    budget: Budget
    loader: TrainLoader
    trainer: pl.Trainer
    threads: int
    threads_before: int
    lock: IO[str] | None

    @property
    def module(self) -> Steps:
        """What is trained."""

    @property
    def device(self) -> torch.device:
        """Where it is trained."""


def begin(run: AnyRun) -> None:
    """Write down what the run is, and drop what was written after the checkpoint it goes on from."""
    folder = run.folder
    if run.trainer.world_size > 1:
        run.trainer.strategy.setup_environment()
    if run.device.type == "cpu":
        keep_freed_memory()
    torch.set_num_threads(run.threads)
    run.dataset.check_split(folder / SPLIT)
    if not run.trainer.is_global_zero:  # the first process writes for all
        return
    run.lock = claim(folder)
    open_loggers(run.trainer.loggers, OmegaConf.to_container(run.cfg, resolve=True), folder)
    if run.module.steps < run.budget.steps:
        for name in (RESULT, SCORES):  # of a smaller budget: the weights will be others
            (folder / name).unlink(missing_ok=True)
    store(run.cfg, folder)
    run.dataset.save_split(folder / SPLIT)
    store_provenance(folder, _device_name(run.device), run.dataset.name)
    cut_back_tables(folder, run.module.steps)


def fit(run: Run) -> None:
    """Train the supernet up to the budget, as `train_to_budget`."""
    train_to_budget(run, lambda: _journal(run))


def train_to_budget(run: AnyRun, journal: Callable[[], pl.Callback]) -> None:
    """Train up to the budget; a signal ends the run after the step it arrives in, with a checkpoint.

    Raises:
        Interrupted: a signal arrived.
        RunError: the loop ended before the budget for another reason.
    """
    module = run.module
    if module.steps >= run.budget.steps:
        return
    path = str(checkpoint_path(run.folder, run.cfg.checkpoint)) if module.steps else None
    run.trainer.callbacks.insert(0, journal())  # type: ignore[attr-defined]
    with finishing() as module.stop:
        try:
            run.trainer.fit(module, run.loader, ckpt_path=path, weights_only=True)  # type: ignore[arg-type]
        except (SystemExit, KeyboardInterrupt):  # what Lightning makes of SIGTERM, and of a second Ctrl-C
            module.stop.asked = True
    module.stopwatch.stop()
    if module.stopping:
        raise Interrupted(f"interrupted after step {module.steps}; go on with resume={run.folder}")
    if module.steps < run.budget.steps:
        raise RunError(f"training ended at step {module.steps} of {run.budget.steps}; go on with resume={run.folder}")


def close(run: AnyRun) -> None:
    """End the run for its loggers, or the next job of a sweep would go on with it."""
    torch.set_num_threads(run.threads_before)
    if run.lock is not None:
        run.lock.close()
    finish_loggers(run.trainer.loggers)


def show_finished(run: AnyRun) -> None:
    """Say that there is nothing left to do; the budget on file is put in the words it was last asked for in."""
    if run.module.steps == run.budget.steps and run.trainer.is_global_zero:
        store(run.cfg, run.folder)
    if run.trainer.is_global_zero:
        print(f"{run.folder} is finished: {run.module.steps} steps, see {RESULT} there")


def validation_paths(run: Run) -> list[ArchPath]:
    """The fixed paths of the one-shot curve: the same for every sampler and seed, so that curves can be compared."""
    generator = torch.Generator().manual_seed(VALIDATION)
    return run.space.sample_distinct(run.cfg.validation.paths, generator)


def _journal(run: Run) -> MetricsWriter:
    cfg = run.cfg
    settings = {key: value for key, value in cfg.validation.items() if key not in ("paths", "bn")}
    evaluator = Evaluator(run.module.net, run.dataset, run.device, cfg.validation.bn, ScoringSettings(**settings))
    return MetricsWriter(run.folder, run.budget, LogSchedule(**cfg.journal), evaluator, validation_paths(run))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"
