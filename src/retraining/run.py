"""One retraining carried through: trained up to its budget or a signal, then concluded."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from src.checkpoint import checkpoint_path
from src.command import Interrupted
from src.errors import RunError
from src.journal import Rhythm
from src.retraining.assembly import Run, assemble
from src.retraining.journal import RetrainingJournal
from src.retraining.outcome import conclude, show
from src.signals import finishing
from src.training import begin, close, show_finished


def train_one(cfg: DictConfig, folder: Path, shown: bool = True) -> None:
    """Train the network that the configuration names, unless that is done; what was begun goes on."""
    run = assemble(cfg, folder)
    if run.is_finished():
        show_finished(run)
        return
    try:
        begin(run)
        fit(run)
        result = conclude(run)
        if shown:
            show(run, result)
    finally:
        close(run)


def fit(run: Run) -> None:
    """Train up to the budget; a signal ends the run after the step it arrives in, with a checkpoint.

    Raises:
        Interrupted: a signal arrived.
        RunError: the loop ended before the budget for another reason.
    """
    module = run.module
    if module.steps >= run.budget.steps:
        return
    path = str(checkpoint_path(run.folder, run.cfg.checkpoint)) if module.steps else None
    journal = RetrainingJournal(run.folder, run.budget, Rhythm(**run.cfg.journal), run.dataset)
    run.trainer.callbacks.insert(0, journal)  # type: ignore[attr-defined]
    with finishing() as module.stop:
        try:
            run.trainer.fit(module, run.loader, ckpt_path=path, weights_only=True)
        except (SystemExit, KeyboardInterrupt):  # what Lightning makes of SIGTERM, and of a second Ctrl-C
            module.stop.asked = True
    module.stopwatch.stop()
    if module.stopping:
        raise Interrupted(f"interrupted after step {module.steps}; go on with resume={run.folder}")
    if module.steps < run.budget.steps:
        raise RunError(f"training ended at step {module.steps} of {run.budget.steps}; go on with resume={run.folder}")
