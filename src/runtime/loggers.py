"""Loggers beside a run's own CSV files: W&B, under one id for as long as the run lasts."""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError
from src.runtime.run_folder import replace_file

WANDB_ID = "wandb_id"
"""File of a run folder: the id under which W&B knows the run."""

PASSES = "train/backward_passes"
AXES = {
    "train": (PASSES, ("train", "supernet", "fairness", "importance", "gradient_variance", "architecture", "rank")),
    "retrain": (PASSES, ("train", "val", "final")),
    "search": ("search/models", ("search",)),
}
"""Command -> the metric that its charts are drawn over, the fair one, and the sections that are."""


def make_loggers(wandb: DictConfig | None, folder: Path, names: Sequence[str], command: str) -> list[Any]:
    """Lightning's WandbLogger with these settings, or nothing if they are None.

    `names` are its tags, and the first two of them its group, where the settings say nothing else; `command` is its job
    type.
    """
    if wandb is None:
        return []
    from pytorch_lightning.loggers import WandbLogger

    stored = folder / WANDB_ID
    run_id = (stored.read_text() if stored.exists() else "") or secrets.token_hex(4)
    settings: Any = OmegaConf.to_container(wandb, resolve=True)
    settings["group"] = settings.get("group") or "-".join(names[:2])
    settings["tags"] = settings.get("tags") or list(names)
    if settings.get("offline"):
        os.environ.setdefault("WANDB_SILENT", "true")  # its summary would push the table off the screen
    settings["job_type"] = command
    logger: Any = WandbLogger(name=folder.name, save_dir=str(folder), id=run_id, resume="allow", **settings)
    logger._wandb_init.pop("anonymous", None)  # Lightning passes it on, and W&B warns that it does nothing
    logger.offline = bool(settings.get("offline"))
    return [logger]


def open_loggers(loggers: Iterable[Any], config: Any, folder: Path) -> None:
    """Start them with the run's plain configuration, under the id of the run if it goes on.

    Raises:
        UsageError: W&B refuses, for want of an account say.
    """
    for logger in loggers:
        try:
            logger.log_hyperparams(config)
            define_axis(logger)
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("wandb", "pydantic_core"):
                raise
            raise UsageError(f"W&B: {error}: use logger=wandb (offline), logger=csv, or wandb login") from None
        replace_file(folder / WANDB_ID, str(logger.version))


def define_axis(logger: Any) -> None:
    """Draw the charts of a command over its own cost: supernet steps are not alike from one sampler to another."""
    axis, sections = AXES[logger._wandb_init["job_type"]]
    logger.experiment.define_metric(axis)
    for section in sections:
        logger.experiment.define_metric(f"{section}/*", step_metric=axis)


def log_again(loggers: Iterable[Any], table: Path, step: str, prefix: str = "") -> None:
    """Log the rows that a run had written before it was stopped, so that its new record holds the whole curve.

    Offline, W&B writes a record for each start, and what it had not written when it was killed is in none of them.
    Online nothing is logged again.

    Args:
        loggers: of the run that goes on.
        table: its CSV file, cut back to where it goes on.
        step: the column that counts steps.
        prefix: of the names under which the other columns are logged; with one, `step` is not among them.
    """
    offline = [logger for logger in loggers if logger.offline]
    if not offline or not table.exists():
        return
    # the same values under the same names as when they were measured
    with table.open(newline="") as lines:
        for row in csv.DictReader(lines):
            values = {f"{prefix}{name}": float(value) for name, value in row.items() if value}
            if prefix:
                del values[prefix + step]
            for logger in offline:
                logger.log_metrics(values, step=int(row[step]))


def finish_loggers(loggers: Iterable[Any]) -> None:
    """End the run for W&B, or the next job of a sweep would go on with it."""
    if list(loggers):
        import wandb

        wandb.finish()
