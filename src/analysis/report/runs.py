"""Training runs read back from their folders, finished or not (file formats: src/runtime/run_folder.py)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from src.runtime.errors import UsageError
from src.runtime.run_folder import (
    CONFIG,
    COUNT_COLUMNS,
    COUNTS,
    METRIC_COLUMNS,
    METRICS,
    PROVENANCE,
    RESULT,
    SCORE_COLUMNS,
    SCORES,
    read_json,
)


@dataclass(frozen=True, eq=False)
class Run:
    """One training run: `name` is its folder below the one that was searched, `result` is None until it finishes.

    Tables are read once, on first use; two runs are equal only if they are the same object.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    provenance: dict[str, Any]
    result: dict[str, Any] | None

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
        """The run's seed."""
        return int(self.config.get("seed") or 0)

    @property
    def commits(self) -> list[str]:
        """The commits it was started and resumed from, each once; empty if no file says so (yet)."""
        starts = [self.provenance, *self.provenance.get("resumed", []), self.result or {}]
        return list(dict.fromkeys(start["commit"] for start in starts if start.get("commit")))

    @property
    def dirty(self) -> bool:
        """Whether tracked files differed from the commit at any start."""
        return any(start.get("dirty") for start in (self.provenance, *self.provenance.get("resumed", [])))

    @property
    def finished(self) -> bool:
        """Whether result.json, which is written last, is there."""
        return self.result is not None

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """metrics.csv as far as it is written."""
        return read_table(self.folder / METRICS, METRIC_COLUMNS)

    @cached_property
    def counts(self) -> pd.DataFrame:
        """counts.csv as far as it is written."""
        return read_table(self.folder / COUNTS, COUNT_COLUMNS)

    @cached_property
    def scores(self) -> pd.DataFrame:
        """scores.csv as far as it is written."""
        return read_table(self.folder / SCORES, SCORE_COLUMNS)


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file that may be missing, or that somebody is appending to: a last line without its end is left out."""
    text = path.read_text() if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if not whole:
        return pd.DataFrame(columns=list(columns))
    return pd.read_csv(io.StringIO(whole), dtype={"path": str, "arch": str})


def find_runs(root: Path) -> list[Run]:
    """All training runs at or below `root`, by folder name; hidden folders are not looked into.

    Raises:
        UsageError: no such folder, no training run in it, or a file of one that cannot be read.
    """
    if not root.is_dir():
        raise UsageError(f"runs={root}: there is no such folder")
    visible = (path for path in root.rglob(CONFIG) if not any(part.startswith(".") for part in _below(path, root)))
    found = [run for path in sorted(visible) if (run := _load(path.parent, root)) is not None]
    if not found:
        raise UsageError(f"runs={root} holds no training run: none of its folders has a {CONFIG} that names a sampler")
    return found


def _below(path: Path, root: Path) -> tuple[str, ...]:
    return path.relative_to(root).parts


def _load(folder: Path, root: Path) -> Run | None:
    """The run in `folder`, or None if a command other than training wrote it."""
    config = read_config(folder / CONFIG)
    result = read_json(folder / RESULT)
    is_training = "sampler" in (config.get("choices") or {}) and (result or {}).get("command", "train") == "train"
    name = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
    return Run(folder, name, config, read_json(folder / PROVENANCE) or {}, result) if is_training else None


def read_config(path: Path) -> dict[str, Any]:
    """A config.yaml as plain values.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except Exception as error:  # YAML and interpolation errors have no base of their own
        raise UsageError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    return {str(key): value for key, value in config.items()} if isinstance(config, dict) else {}
