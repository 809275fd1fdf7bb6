"""Lightning's Trainer, with its messages off the terminal and its refusals as usage errors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import AdvancedProfiler, SimpleProfiler
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from src.runtime.checkpoint import AtomicCheckpointIO
from src.runtime.errors import UsageError


def quiet() -> None:
    """Keep Lightning's own messages off the terminal."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def make_trainer(
    settings: Any, loggers: Sequence[Any], callbacks: Sequence[pl.Callback], folder: Path, strategy: Any = "auto"
) -> pl.Trainer:
    """A Trainer that leaves epochs, progress and checkpoints to us: all of them count in our steps.

    `settings` is the section `trainer` of a configuration as a plain dictionary. A profile goes to fit-profile.txt in
    the run's `folder`.

    Raises:
        UsageError: Lightning refuses a setting.
    """
    profilers = {"simple": SimpleProfiler, "advanced": AdvancedProfiler}
    kind = settings.get("profiler")
    # Lightning prints a profile to its log, which is quiet here
    profiler = None if kind is None else profilers[kind](dirpath=str(folder), filename="profile")
    try:
        return pl.Trainer(
            **{**settings, "profiler": profiler},
            # One "epoch" of Lightning is the whole run.
            max_epochs=1,
            min_epochs=0,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            strategy=strategy,
            logger=list(loggers),
            callbacks=list(callbacks),
            plugins=[AtomicCheckpointIO()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise UsageError(f"trainer: {error}") from None
