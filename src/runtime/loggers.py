"""Records beside a run's own CSV files: W&B, under one id for as long as the run lasts, and TensorBoard."""

from __future__ import annotations

import csv
import importlib.util
import os
import secrets
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError

WANDB_ID = "wandb_id"
"""File of a run folder: the id under which W&B knows the run."""

TENSORBOARD = "tensorboard"
"""Subfolder of a run folder."""
PASSES = "train/backward_passes"
AXES = {
    "train": (PASSES, ("train", "supernet", "fairness", "importance", "gradient_variance", "architecture", "rank")),
    "retrain": (PASSES, ("train", "val", "final")),
    "search": ("search/models", ("search",)),
    "report": (PASSES, ()),
}
"""Command -> the metric that its charts are drawn over, the fair one, and the sections that are."""


def make_loggers(logger: DictConfig, folder: Path, names: Sequence[str], command: str) -> list[Any]:
    """The records that the section `logger` asks for: at W&B, as TensorBoard's event files, or none.

    `names` are W&B's tags, and the first two of them its group, where the settings say nothing else; `command` is its
    job type.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    records: list[Any] = []
    axis, sections = AXES[command]
    # TensorBoard is an extra
    if logger.get("tensorboard"):
        if not importlib.util.find_spec("tensorboard"):
            raise UsageError("logger=tensorboard needs `pip install tensorboard`; logger=csv, wandb need nothing")
        from src.runtime.records import BoardRecord

        records.append(BoardRecord(folder, axis))
    # one id over all starts, so that a run that goes on is one run there
    if logger.wandb is not None:
        from src.runtime.records import WandbRecord

        stored = folder / WANDB_ID
        settings: Any = OmegaConf.to_container(logger.wandb, resolve=True)
        settings["id"] = (stored.read_text() if stored.exists() else "") or secrets.token_hex(4)
        settings["group"] = settings.get("group") or "-".join(names[:2])
        settings["tags"] = settings.get("tags") or list(names)
        if settings.get("offline"):
            os.environ.setdefault("WANDB_SILENT", "true")  # its summary would push the table off the screen
        records.append(WandbRecord(folder, axis, sections, job_type=command, **settings))
    return records


def open_loggers(loggers: Iterable[Any], config: Any) -> None:
    """Start them with the run's plain configuration, under the id of the run if it goes on.

    Raises:
        UsageError: W&B refuses, for want of an account say.
    """
    for logger in loggers:
        try:
            logger.begin(config)
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("wandb", "pydantic_core"):
                raise
            raise UsageError(f"W&B: {error}: use logger=wandb (offline), logger=csv, or wandb login") from None


def artifact_of(kind: str, folder: str | Path | None) -> list[str]:
    """The name of the artifact that a run folder's W&B run made of this kind; none where it has no W&B run."""
    stored = None if folder is None else Path(folder) / WANDB_ID
    return [f"{kind}-{stored.read_text()}"] if stored is not None and stored.exists() else []


def log_again(
    loggers: Iterable[Any],
    table: Path,
    step: str,
    prefix: str = "",
    between: Mapping[int, Mapping[str, float]] = MappingProxyType({}),
) -> None:
    """Log the rows that a run had written before it was stopped, so that its new record holds the whole curve.

    Offline, W&B writes a record for each start, and what it had not written when it was killed is in none of them.
    Online nothing is logged again.

    Args:
        loggers: of the run that goes on.
        table: its CSV file, cut back to where it goes on.
        step: the column that counts steps.
        prefix: of the names under which the other columns are logged; with one, `step` is not among them.
        between: further metrics by step, each logged before the first row of a later step, where its axis belongs.
    """
    offline = [logger for logger in loggers if logger.offline]
    if not offline or not table.exists():
        return
    # the same values under the same names, in the order in which they were measured
    waiting = deque(sorted(between.items()))
    with table.open(newline="") as lines:
        for row in csv.DictReader(lines):
            values = {f"{prefix}{name}": float(value) for name, value in row.items() if value}
            if prefix:
                del values[prefix + step]
            while waiting and waiting[0][0] < int(row[step]):
                earlier, figures = waiting.popleft()
                for logger in offline:
                    logger.log_metrics(figures, step=earlier)
            for logger in offline:
                logger.log_metrics(values, step=int(row[step]))
    for earlier, figures in waiting:
        for logger in offline:
            logger.log_metrics(figures, step=earlier)


def log_picture(loggers: Iterable[Any], name: str, path: Path) -> None:
    """Show a PNG in each record."""
    for logger in loggers:
        logger.log_picture(name, path)


def log_results(
    loggers: Iterable[Any], kind: str, files: Sequence[Path], parents: Sequence[str] = (), table: Path | None = None
) -> None:
    """Keep the files of a finished run in each record that keeps files, and show a CSV file among them as a table.

    Args:
        loggers: of the run.
        kind: supernet, scores, archive or network: the artifact's type, and the table's name.
        files: those that are there are kept.
        parents: names of the artifacts that they were made from (`artifact_of`).
        table: the CSV file that is shown.
    """
    for logger in loggers:
        if table is not None:
            logger.log_rows(f"tables/{kind}", pd.read_csv(table, dtype={"arch": str, "path": str}))
        logger.log_files(kind, [path for path in files if path.exists()], parents)


def log_report(loggers: Iterable[Any], page: Path, figures: Sequence[Path], parents: Sequence[str]) -> None:
    """Show a report's page, the table beside it and its figures, made from the artifacts `parents`."""
    table = page.with_name("table.csv")
    for logger in loggers:
        logger.log_page("report", page)
        logger.log_rows("tables/report", pd.read_csv(table))
        for figure in figures:
            logger.log_picture(f"figures/{figure.stem}", figure)
        logger.log_files("report", [page, table], parents)


def finish_loggers(loggers: Iterable[Any]) -> None:
    """End the run in each record, or the next job of a sweep would go on with it."""
    for logger in loggers:
        logger.end()
