"""Sweeps: the folder of each job, and jobs that fail while the others go on.

A job's folder has the values of the swept keys in its name, not the job's number, so that a sweep may grow. Jobs
are listed in the sweep's folder, by whichever process ran them; a run that diverged leaves a note in its own, since it
would diverge again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from src.runtime.run_folder import fresh_folder, read_json, write_json

SWEPT = "FAIRPATH_SWEPT"
"""Environment variable: keys that the command line sweeps, for the launchers' processes."""
JOBS, DIVERGED = "jobs.jsonl", "diverged.json"
NAMED = ("sampler", "search_space", "searcher", "evaluator", "recipe", "seed")
"""Keys that the first part of a folder's name may hold."""
LONGEST = 60
"""Letters of the values in a folder's name."""


def swept_keys(arguments: Iterable[str]) -> list[str]:
    """Keys of the command line that have several values; arguments that Hydra will refuse are passed over."""
    parser, keys = OverridesParser.create(), []
    for argument in arguments:
        try:
            (override,) = parser.parse_overrides([argument])
        except (HydraException, ValueError):
            continue
        if override.is_sweep_override():
            keys.append(override.get_key_element().lstrip("+"))
    return keys


def count_jobs(arguments: Iterable[str], params: Mapping[str, Any] | None) -> int | None:
    """Number of jobs of a sweep: of the command line's values and an experiment's; None if it cannot be told."""
    # a key that is swept twice counts once, as its last value says
    parser, counts = OverridesParser.create(), dict[str, int]()
    swept = [f"{key}={value}" for key, value in (params or {}).items()]  # the command line's come after, and win
    for argument in (*swept, *arguments):
        try:
            (override,) = parser.parse_overrides([argument])
            values = list(override.sweep_iterator()) if override.is_sweep_override() else [None]
        except (HydraException, ValueError):
            return None
        counts[override.get_key_element().lstrip("+")] = len(values)
    return math.prod(counts.values())


def job_folder(
    sweep_dir: str, number: int, name: str, overrides: Sequence[str], params: Mapping[str, Any] | None
) -> str:
    """The job's folder below `sweep_dir`: `name`, and the values of the other swept keys.

    Args:
        sweep_dir: the sweep's folder.
        number: of the job; sweeps of earlier versions have it at the front, and go on in their folders.
        name: what every folder says: sampler, space and seed, say.
        overrides: `key=value` of this job.
        params: swept keys of an experiment (hydra.sweeper.params).
    """
    if (Path(sweep_dir) / f"{number}_{name}").is_dir():
        return f"{number}_{name}"
    swept = {*os.environ.get(SWEPT, "").split(), *(params or {})}
    values = []
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        part = f"seed{value}" if key == "seed" else value
        is_named = key in NAMED and f"_{part}_" in f"_{name}_"
        if key in swept and not is_named:
            values.append(f"{key.split('.')[-1]}={value}")
    text = ",".join(values)
    # letters that a file name should not have, or too many: a digest keeps the names apart
    safe = re.sub(r"[^\w.,=+-]+", "-", text)[:LONGEST]
    if safe != text:
        safe += "-" + hashlib.blake2b(text.encode(), digest_size=3).hexdigest()
    return f"{name}_{safe}" if safe else name


OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
OmegaConf.register_new_resolver("fresh", fresh_folder, replace=True)
OmegaConf.register_new_resolver("run_dir", lambda resume, dated: resume or fresh_folder(dated), replace=True)


class SweepStart(Callback):
    """Notes the folder of the sweep that this process starts, and empties its list of jobs."""

    folder: ClassVar[Path | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Called by Hydra before the first job, in the process of the command."""
        SweepStart.folder = Path(config.hydra.sweep.dir)
        (SweepStart.folder / JOBS).unlink(missing_ok=True)


def note_job(sweep_dir: Path, folder: Path, code: int = 0, reason: str = "", diverged: bool = False) -> None:
    """Add a job that has ended to the sweep's list, and mark its folder if it must not be tried again."""
    if diverged:
        write_json(folder / DIVERGED, {"reason": reason})
    sweep_dir.mkdir(parents=True, exist_ok=True)
    # one short line in one write: jobs side by side do not mix
    with (sweep_dir / JOBS).open("a") as file:
        file.write(json.dumps({"job": folder.name, "code": code, "reason": reason}) + "\n")


def earlier_divergence(folder: Path) -> str | None:
    """Why the job of this folder diverged at an earlier start; None if it did not."""
    note = read_json(folder / DIVERGED)
    return None if note is None else str(note["reason"])


def show_failed_jobs(sweep_dir: Path | None) -> int:
    """Print which jobs of a sweep failed, and why.

    Returns the sweep's exit code: 0 if none did, 2 if all were refused as bad input, else 1.
    """
    if sweep_dir is None or not (sweep_dir / JOBS).exists():
        return 0
    jobs = [json.loads(line) for line in (sweep_dir / JOBS).read_text().splitlines()]
    failed = [job for job in jobs if job["code"]]
    if not failed:
        return 0
    print(f"{len(failed)} of {len(jobs)} jobs failed:", file=sys.stderr)
    for job in failed:
        print(f"  {job['job']}: {job['reason']}", file=sys.stderr, flush=True)
    return 2 if all(job["code"] == 2 for job in jobs) else 1
