"""One retraining carried through: trained up to its budget or a signal, then concluded."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from src.journal import Rhythm
from src.retraining.assembly import Run, assemble
from src.retraining.journal import RetrainingJournal
from src.retraining.outcome import conclude, show
from src.training import begin, close, show_finished, train_to_budget


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
    """Train the network up to the budget, as `train_to_budget`."""
    rhythm = Rhythm(**run.cfg.journal)
    train_to_budget(run, lambda: RetrainingJournal(run.folder, run.budget, rhythm, run.dataset))
