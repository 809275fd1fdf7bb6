"""Training runs read back from their folders, finished or not (file formats: src/runtime/run_folder.py)."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from src.analysis.additive import ADDITIVE, with_score
from src.runtime.errors import UsageError
from src.runtime.result import read_result
from src.runtime.result_schemas import TrainResult
from src.runtime.run_folder import (
    CONFIG,
    COUNT_COLUMNS,
    COUNTS,
    IMPORTANCE,
    IMPORTANCE_COLUMNS,
    METRIC_COLUMNS,
    METRICS,
    PROVENANCE,
    RESULT,
    SCORE_COLUMNS,
    SCORES,
    VALIDATION,
    VALIDATION_COLUMNS,
    read_json,
)
from src.runtime.stored_run import load_config

HALVES = ("first", "second")
"""A choice made on one half of the networks is judged on the other."""
COSTS = {
    "steps": "step",
    "epochs": "epoch",
    "backward_passes": "train/backward_passes",
    "wall_seconds": "wall_seconds",
}
"""Fields of the result, and the columns of metrics.csv that hold the same before the end."""


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """The files of one training run; `name` is its folder below the one that was searched.

    Tables are read once, on first use; two runs are equal only if they are the same object.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    provenance: dict[str, Any]
    finished: bool
    """Whether result.json, which is written last, is there."""
    result: TrainResult | None
    """None before the end, and for a result.json of another layout; then all figures come from the tables."""
    half: str | None = None
    """The half of the networks that is looked at, one of HALVES; None: all of them."""
    by: str | None = None
    """The score that orders the paths, one of run_folder.RANK_BY; None: the one that the run ranks by."""

    @property
    def sampler(self) -> str:
        """The option that was picked for `sampler=`."""
        return str(self.config["choices"]["sampler"])

    @property
    def search_space(self) -> str:
        """The option that was picked for `search_space=`."""
        return str(self.config["choices"].get("search_space", "unknown"))

    @property
    def dataset(self) -> str:
        """The data set's own name, or the option picked for `dataset=` where no file says it (yet)."""
        return str(self.provenance.get("dataset") or self.config["choices"].get("dataset", "unknown"))

    @property
    def inter_choice(self) -> str:
        """The option that was picked for `inter_choice=`, `none` in runs older than it."""
        return str(self.config["choices"].get("inter_choice") or "none")

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.config.get("seed") or 0)

    @property
    def commits(self) -> list[str]:
        """The commits it was started and resumed from, each once; empty if no file says so (yet)."""
        starts = [start.get("commit") for start in (self.provenance, *self.provenance.get("resumed", []))]
        return list(dict.fromkeys(filter(None, [*starts, self.result.commit if self.result else None])))

    @property
    def dirty(self) -> bool:
        """Whether tracked files differed from the commit at any start."""
        return any(start.get("dirty") for start in (self.provenance, *self.provenance.get("resumed", [])))

    @property
    def ranked_by(self) -> str:
        """The score that orders the paths: `by`, else that of the result, of the configuration, or accuracy."""
        stored = self.result.ranked_by if self.result else (self.config.get("ranking") or {}).get("by")
        return str(self.by or stored or "accuracy")

    @property
    def costs(self) -> dict[str, float | None]:
        """steps, epochs, backward_passes and wall_seconds, so far or at the end; None where nothing is recorded."""
        if self.result:
            return {name: getattr(self.result, name) for name in COSTS}
        known = {name: self.metrics[column].dropna() for name, column in COSTS.items()}
        return {name: float(column.iloc[-1]) if len(column) else None for name, column in known.items()}

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """metrics.csv, all rows written so far."""
        return read_table(self.folder / METRICS, METRIC_COLUMNS)

    @cached_property
    def counts(self) -> pd.DataFrame:
        """counts.csv, all rows written so far."""
        return read_table(self.folder / COUNTS, COUNT_COLUMNS)

    @cached_property
    def importance(self) -> pd.DataFrame:
        """importance.csv, all rows written so far; empty where nothing was sampled by importance."""
        return read_table(self.folder / IMPORTANCE, IMPORTANCE_COLUMNS)

    @cached_property
    def validation(self) -> pd.DataFrame:
        """validation.csv, all rows written so far; empty in older runs."""
        return read_table(self.folder / VALIDATION, VALIDATION_COLUMNS)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """scores.csv, all rows written so far, with `ADDITIVE`; of a half of the networks only theirs."""
        table = read_table(self.folder / SCORES, SCORE_COLUMNS)
        # among all scored paths of a protocol, also those of the other half and those without a truth
        protocols = [with_score(rows, ADDITIVE) for _, rows in table.groupby("bn", dropna=False)]
        table = pd.concat(protocols).sort_index() if protocols else with_score(table, ADDITIVE)
        return table if self.half is None else table[[half_of(arch) == self.half for arch in table["arch"]]]

    def stored_ranking(self, bn: str, score: str) -> dict[str, Any]:
        """The summary that the run stored of all its networks; {} without one, or if a half of them is looked at."""
        known = self.result.ranking if self.result and self.half is None else {}
        return dict(known.get(bn, {}).get(score, {}).get("all", {}))


def half_of(arch: str) -> str:
    """The half that a network is in, by its name alone: the same for every run, on every machine."""
    return HALVES[hashlib.sha256(arch.encode()).digest()[0] % 2]


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file that may be missing, or that somebody is appending to: a last line without its end is left out."""
    text = path.read_text() if path.exists() else ""
    # Somebody may be in the middle of appending a line
    whole = text[: text.rfind("\n") + 1]
    if not whole:
        return pd.DataFrame(columns=list(columns))
    return pd.read_csv(io.StringIO(whole), dtype={"path": str, "arch": str})


def find_runs(root: Path, half: str | None = None, by: str | None = None) -> list[TrainingRun]:
    """All training runs at or below `root`, by folder name; hidden folders are not looked into.

    `half` of their networks is looked at, one of HALVES; None: all. `by` orders their paths, one of RANK_BY; None: the
    score that each run ranks by.

    Raises:
        UsageError: no such folder, no training run in it, or a file of one that cannot be read.
    """
    if not root.is_dir():
        raise UsageError(f"runs={root}: there is no such folder")
    runs = []
    for path in sorted(root.rglob(CONFIG)):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        folder, config = path.parent, read_config(path)
        # A result of another layout still says that the run is finished; its figures then come from the tables
        stored = read_json(folder / RESULT)
        if config["command"] != "train" or (stored or {}).get("command", "train") != "train":
            continue
        name = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
        if by is not None:  # one table, whatever the runs were to rank by
            config |= {"ranking": {**(config.get("ranking") or {}), "by": by}}
            config |= {"recipe": {**(config.get("recipe") or {}), "rank_by": by}}
        provenance, result = read_json(folder / PROVENANCE) or {}, read_result(folder, TrainResult)
        runs.append(TrainingRun(folder, name, config, provenance, stored is not None, result, half, by))
    if not runs:
        raise UsageError(f"runs={root} holds no training run: none of its folders has a {CONFIG} that names a sampler")
    return runs


def read_config(path: Path) -> dict[str, Any]:
    """A stored config.yaml as plain values, with today's keys.

    Raises:
        UsageError: it cannot be read.
    """
    config: Any = OmegaConf.to_container(load_config(path), resolve=True)
    return {str(key): value for key, value in config.items()}
