"""The files of a run folder, by which the stages speak to each other.

config.yaml      the resolved configuration; `choices` names the config-group options that were picked
provenance.json  commit, dirty, python, versions, device, started; `resumed` lists the later starts
checkpoints/     last.ckpt, and previous.ckpt from one save earlier
metrics.csv      METRIC_COLUMNS; an empty cell was not measured at that step
counts.csv       COUNT_COLUMNS; `count` is cumulative: how often the choice was trained up to `step`
validation.csv   VALIDATION_COLUMNS; the scores of the fixed paths at each validation
importance.csv   IMPORTANCE_COLUMNS; after each epoch that a sampler or an order learnt from, what it drew and learnt
scores.csv       SCORE_COLUMNS; one row per path and BN protocol
result.json      written last: a run that has it is finished
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from src.runtime.errors import MACHINE_ERRORS, UsageError

CONFIG, PROVENANCE, RESULT = "config.yaml", "provenance.json", "result.json"
METRICS, COUNTS, SCORES, SPLIT = "metrics.csv", "counts.csv", "scores.csv", "split.npz"
OPERATION_COUNTS, IMPORTANCE, VALIDATION = "operation_counts.csv", "importance.csv", "validation.csv"
CHECKPOINTS, LAST, PREVIOUS = "checkpoints", "last", "previous"
LOCK = ".lock"
FRESH = "FAIRPATH_FRESH_FOLDERS"
"""Environment variable: the folders that a command made, by the names it wanted for them."""

PROTOCOLS = ("running", "batch", "adapt", "recalibrate")
"""Batch-norm statistics that paths are scored under; src/supernet/bn_protocols.py says what they are."""
CALIBRATED = ("adapt", "recalibrate")
"""Those that read training images."""

RANK_BY = ("loss", "accuracy", "mean_rank", "additive_loss")
"""Scores that order paths: cross-entropy, top-1, the mean of the ranks by both, or the loss as a sum over layers."""

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
VALIDATION_COLUMNS = ("step", "path", "arch", "accuracy", "loss")
FEWEST_ORDERED = 30
"""Paths of a validation below which their order is noise."""
IMPORTANCE_COLUMNS = (
    "step",
    "epoch",  # that ended, counted from 0
    "figure",
    "layer",  # the first of those that draw together
    "choice",  # of the layer; of class_share the class
    "name",  # the choice's operation
    "value",
)
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


def fresh_folder(path: str) -> str:
    """Make a new folder: `path`, or `path-2`, `path-3`, ... if others began a run in the same second.

    Asked again in this command, also by its processes, it is the same folder.
    """
    known = json.loads(os.environ.get(FRESH, "{}"))
    if path in known:
        return str(known[path])
    numbers, name = itertools.count(2), path
    while True:
        # whoever makes a folder has it: two processes cannot both
        try:
            Path(name).mkdir(parents=True)
        except FileExistsError:
            name = f"{path}-{next(numbers)}"
        else:
            os.environ[FRESH] = json.dumps({**known, path: name})
            return name


def claim(folder: Path) -> ExitStack:
    """Hold a run folder until the returned stack is closed or the process ends, however it ends.

    Raises:
        UsageError: another process holds it; two would write over each other's tables.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # the system gives the lock back however the process ends: no stale locks
        lock = FileLock(folder / LOCK)
        lock.acquire(blocking=False)
    except Timeout:
        raise UsageError(f"{folder} is in use by another process: wait for it, or give another folder") from None
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise UsageError(f"{folder} cannot be written to: {error.strerror}") from None
    held = ExitStack()
    held.callback(lock.release)
    return held


def replace_file(path: Path, content: str | bytes | memoryview, before: Callable[[], None] = lambda: None) -> None:
    """Write a file so that a reader, or a kill at any moment, finds the old content or the new and nothing between.

    Args:
        path: of the file; where writing fails, nothing is left beside it.
        content: text is written as UTF-8, with the line ends that it has.
        before: called when the new content is safe on disk and the old one still in its place.

    Raises:
        OSError: a full disk, say; it names the file.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb", buffering=0) as file:
            write_all(file, content.encode() if isinstance(content, str) else content)
            os.fsync(file.fileno())
        before()
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)
        raise


def write_all(file: io.FileIO, content: bytes | memoryview) -> None:
    """Write all bytes, or raise: a nearly full disk takes some of them."""
    rest = memoryview(content)
    while len(rest):
        rest = rest[file.write(rest) :]


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
    """Add rows to a CSV file, with its header first if it is new; missing columns stay empty.

    Raises:
        OSError: a full disk, say; it names the file, which has all of the rows or none.
    """
    # all rows as one text, written at once
    size = path.stat().st_size if path.exists() else 0
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    if not size:
        writer.writeheader()
    writer.writerows(rows)
    try:
        with path.open("ab", buffering=0) as file:
            write_all(file, text.getvalue().encode())
    except OSError as error:
        # back to where it ended before
        if path.exists():
            os.truncate(path, size)
        error.filename = str(path)
        raise


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
