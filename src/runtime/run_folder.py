"""The files of a run folder, by which the stages speak to each other.

config.yaml      the resolved configuration; `choices` names the config-group options that were picked
provenance.json  commit, dirty, python, versions, device, started; `resumed` lists the later starts
checkpoints/     last.ckpt, and previous.ckpt from one save earlier
metrics.csv      METRIC_COLUMNS; an empty cell was not measured at that step
counts.csv       COUNT_COLUMNS; `count` is cumulative: how often the choice was trained up to `step`
scores.csv       SCORE_COLUMNS; one row per path and BN protocol
result.json      written last: a run that has it is finished
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from src.runtime.errors import UsageError

CONFIG, PROVENANCE, RESULT = "config.yaml", "provenance.json", "result.json"
METRICS, COUNTS, SCORES, SPLIT = "metrics.csv", "counts.csv", "scores.csv", "split.npz"
CHECKPOINTS, LAST, PREVIOUS = "checkpoints", "last", "previous"
LOCK = ".lock"

PROTOCOLS = ("running", "batch", "adapt", "recalibrate")
"""Batch-norm statistics that paths are scored under; src/supernet/bn_protocols.py says what they are."""
CALIBRATED = ("adapt", "recalibrate")
"""Those that read training images."""

RANK_BY = ("loss", "accuracy", "mean_rank")
"""Scores that order paths: cross-entropy, top-1, or the mean of the ranks by both."""

LEARNT = ("accuracy", "loss")
"""Scores that take a trained supernet: accuracy is to be high, loss and all costs low."""
LISTED_PATHS = 100_000
"""Spaces of more paths than this are sampled, never listed."""

METRIC_COLUMNS = (
    "step",  # supernet steps taken
    "epoch",  # of the training part, fractional
    "train/loss",  # mean over the sampled paths since the last row
    "train/accuracy",  # top-1 of the sampled paths since the last row, in [0, 1]
    "train/lr",  # of the last update: lr_scale included
    "train/backward_passes",  # cumulative
    "supernet/accuracy_mean",  # one-shot validation accuracy over a fixed set of paths, in [0, 1]
    "supernet/accuracy_std",
    "supernet/accuracy_min",
    "supernet/accuracy_max",
    "fairness/count_spread",  # largest difference between the counts of two choices of one layer
    "train/images_per_second",  # images of the mini-batches; wall clock, as is the next
    "wall_seconds",
)
WALL_CLOCK = ("train/images_per_second", "wall_seconds")
COUNT_COLUMNS = ("step", "layer", "choice", "count")
SCORE_COLUMNS = (
    "path",  # 2-0-2
    "arch",  # by which tables are joined
    "accuracy",  # top-1 in [0, 1]
    "loss",
    "params",
    "macs",
    "truth",  # the benchmark's accuracy, in [0, 1]; empty where none is known
    "supernet",  # the run folder's name
    "sampler",
    "seed",
    "bn",  # protocol: running, batch, adapt, recalibrate
    "split",
    "images",
)


def claim(folder: Path) -> IO[str]:
    """Hold a run folder until the returned file is closed or the process ends, however it ends.

    Raises:
        UsageError: another process holds it; two would write over each other's tables.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}") from None
    try:
        # the kernel gives the lock back however the process ends: no stale locks
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UsageError(f"{folder} is in use by another process: wait for it, or give another folder") from None
    return file


def replace_file(path: Path, text: str) -> None:
    """Write a file so that a reader, or a kill at any moment, finds the old text or the new and nothing between."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def is_whole_archive(path: Path) -> bool:
    """Whether a checkpoint has every byte as it was written: its directory and all its checksums are right."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # a damaged directory can raise almost anything
        return False


def write_json(path: Path, value: Any) -> None:
    """Store plain values as readable JSON, atomically."""
    replace_file(path, json.dumps(value, indent=2) + "\n")


def append_rows(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a CSV file, with its header first if it is new; missing columns stay empty."""
    is_new = not path.exists() or path.stat().st_size == 0
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


def cut_back(path: Path, step: int) -> None:
    """Drop the rows of a CSV file that were written after `step`, and a last line that a kill left half written."""
    if not path.exists():
        return
    header, *lines = path.read_text().splitlines(keepends=True) or [""]
    kept = [line for line in lines if line.endswith("\n") and int(line.split(",", 1)[0]) <= step]
    replace_file(path, header + "".join(kept))


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None if there is no such file.

    Raises:
        UsageError: it holds something else.
    """
    try:
        return dict(json.loads(path.read_text())) if path.exists() else None
    except (json.JSONDecodeError, TypeError, ValueError) as error:
        raise UsageError(f"{path} is not a JSON object: {error}") from error


ARCHIVE, FRONT, SELECTED, GENERATIONS = "archive.csv", "front.csv", "selected.csv", "generations.csv"


TRUE_FRONT = "true_front.csv"


SOURCE = "source.json"
"""File of a search's folder: what scored its networks, by which a search that goes on knows it again."""
