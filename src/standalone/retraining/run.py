"""One retraining carried through: trained up to its budget or a signal, then concluded."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from src.standalone.retraining.build import Run, assemble
from src.standalone.retraining.metrics_writer import RetrainingMetricsWriter
from src.standalone.retraining.result import conclude, show
from src.training.loop import begin, close, show_finished, train_to_budget
from src.training.metrics_writer import LogSchedule


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
    schedule = LogSchedule(**run.cfg.journal)
    train_to_budget(run, lambda: RetrainingMetricsWriter(run.folder, run.budget, schedule, run.dataset))
