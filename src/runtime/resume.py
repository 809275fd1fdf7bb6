"""Resuming a run: the stored configuration wins, and a command line that contradicts it is refused."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError
from src.runtime.migrate import migrate
from src.runtime.run_folder import (
    CONFIG,
    COUNTS,
    IMPORTANCE,
    METRICS,
    OPERATION_COUNTS,
    VALIDATION,
    cut_back,
    replace_file,
)
from src.runtime.stored_run import load_config

FREE = ("budget", "stop", "trainer", "logger")
"""Sections that may change when a run is resumed."""
IMAGES = ("dataset.root", "dataset.skip_corrupt")
"""Keys of data sets that come from files: where these lie, and whether a run goes on without some."""
PLACES = (*IMAGES, "dataset.cache", "benchmark.path", "latency.table")
"""Keys about files that may move, or be lost, between two starts."""
UNSTORED = ("resume", "checkpoint", "retry_diverged")
"""Keys of one start alone."""
READING = ("root", "download", "cache", "workers", "memory_limit_mb", "max_pixels", "skip_corrupt")
"""Keys of data sets that say how images are read, not which."""
APART = ("search_space.within", *(f"dataset.{key}" for key in READING))
"""Keys that two runs of one space and data set may differ in."""
WHOLE = ("experiment",)
"""Config groups that set keys anywhere."""


def settle(
    cfg: DictConfig,
    folder: Path,
    overrides: Sequence[str],
    command: str,
    is_sweep: bool = False,
    free: Sequence[str] = FREE,
) -> DictConfig:
    """The configuration to run with: `cfg` in a new folder, the stored one in a folder that was started.

    Nothing is written. `free` sections come from `overrides`, the keys of the command line. A sweep's job states all
    its keys anew each time, so there all of them are compared that the folder has; keys that are younger than the
    folder count only if `overrides` name them.

    Raises:
        UsageError: another key differs from what is stored (it is named with both values), `resume` names another
            folder than the run's, or the folder is another command's, or none that a command wrote.
    """
    resume = cfg.get("resume")
    if resume is not None and (is_sweep or Path(str(resume)).resolve() != folder.resolve()):
        right = (
            "the same command with the same hydra.sweep.dir" if is_sweep else f"hydra.run.dir={resume}, or leave it out"
        )
        raise UsageError(f"resume={resume} does not go with the folder {folder}: use {right}")
    path = folder / CONFIG
    if not path.exists():
        return cfg
    written = load_config(path, migrated=False)
    stored = written.copy()
    migrate(stored)
    if stored.command != command:
        writer = f"src.{stored.command}" if stored.command else "another program"
        right = f"resume it with python -m {writer} resume={folder}" if stored.command else "give another folder"
        raise UsageError(f"{folder} was written by {writer}, not by src.{command}: {right}")
    names = names_of(overrides)
    compare_all = is_sweep or any(name in WHOLE for name in names)
    refuse_differences(leaves(cfg), leaves(written), names, compare_all, folder, free)
    for name in names:
        if name in IMAGES:
            set_images(stored.dataset, name, OmegaConf.select(cfg, name))
        elif name in PLACES:
            OmegaConf.update(stored, name, OmegaConf.select(cfg, name), force_add=True)
    for name in free if is_sweep else [name for name in names if name.split(".")[0] in free]:
        # The kinds of budget exclude each other, so a new one replaces them all.
        key = "budget" if name.startswith("budget") else name
        OmegaConf.update(stored, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    for key in UNSTORED:
        stored[key] = cfg.get(key)
    return stored


def move_dataset(dataset: MutableMapping[Any, Any], root: object) -> None:
    """Set where the images of a stored run lie now; see `set_images`."""
    set_images(dataset, "dataset.root", root)


def set_images(dataset: MutableMapping[Any, Any], name: str, value: object) -> None:
    """Set one of the keys IMAGES of a stored run; `dataset` is that section of its configuration.

    Raises:
        UsageError: its images do not come from a folder.
    """
    if "root" not in dataset:
        raise UsageError(f"{name}={value}: the images of this run do not come from a folder, so leave it out")
    dataset[name.split(".")[1]] = value


def refuse_another_space(cfg: DictConfig, trained: DictConfig, overrides: Sequence[str]) -> None:
    """For commands on a trained run, whose space is known: `overrides` of it must say what the run has.

    Raises:
        UsageError: they say something else.
    """
    now, before, names = leaves(cfg), leaves(trained), names_of(overrides)
    for key in sorted(now.keys() | before.keys()):
        is_named = any(name in names for name in enclosing(key))
        if is_named and key.split(".")[0] == "search_space" and now.get(key) != before.get(key):
            raise UsageError(
                f"run={cfg.run} was trained on search_space={trained.choices.search_space} with {key}="
                f"{before.get(key)}, not {now.get(key)}: leave search_space out, a run knows its own"
            )


def store(cfg: DictConfig, folder: Path, command: str) -> None:
    """Write config.yaml: resolved, headed by the command, without the keys of one start alone."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    kept = {key: value for key, value in plain.items() if key not in UNSTORED}
    # absolute, so that the run goes on from another working directory
    dataset = kept.get("dataset")
    if isinstance(dataset, dict) and dataset.get("root") is not None:
        dataset["root"] = str(Path(dataset["root"]).absolute())
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create({"command": command} | kept)))


def cut_back_tables(folder: Path, step: int) -> None:
    """Drop the rows that were written after the checkpoint that a run resumes from."""
    for name in (METRICS, COUNTS, OPERATION_COUNTS, IMPORTANCE, VALIDATION):
        cut_back(folder / name, step)


def refuse_differences(
    now: Mapping[str, Any],
    before: Mapping[str, Any],
    names: Sequence[str],
    compare_all: bool,
    folder: Path,
    free: Sequence[str],
) -> None:
    """Compare the leaves of two configurations below the keys `names`, or wherever the stored one has something."""
    for key in sorted(now.keys() | before.keys()):
        # asked for by name, or by a sweep, whose jobs compare all that the stored run had
        top, is_known = key.split(".")[0], any(above in before for above in enclosing(key))
        asked = any(name in names for name in enclosing(key)) or (compare_all and is_known)
        if (
            not asked
            or top in free
            or key in PLACES
            or top in (*UNSTORED, "command")
            or now.get(key) == before.get(key)
        ):
            continue
        # the first difference is named
        was = f"with {key}={before.get(key)}" if is_known else f"without {key}"
        raise UsageError(
            f"{folder} was started {was}, not {now.get(key)}: leave it out to resume with the stored value, or start a "
            f"new run; only {', '.join(free)} may change"
        )


def first_difference(
    one: Mapping[str, Any], other: Mapping[str, Any], sections: Sequence[str], apart: Sequence[str] = APART
) -> tuple[str, Any, Any] | None:
    """The first of two configurations' `leaves` that differs in some sections, and both values, but for `apart`."""
    for key in sorted(one.keys() | other.keys()):
        if key.split(".")[0] in sections and key not in apart and one.get(key) != other.get(key):
            return key, one.get(key), other.get(key)
    return None


def names_of(overrides: Sequence[str]) -> list[str]:
    """The keys that a command line sets."""
    return [override.lstrip("+~").split("=", 1)[0].split("@")[0] for override in overrides]


def enclosing(key: str) -> list[str]:
    """The key and all sections that it is in: a.b and a of a.b."""
    parts = key.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def leaves(config: Any) -> dict[str, Any]:
    """Every value by its dotted key."""
    values: dict[str, Any] = {}

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                walk(inner, f"{key}.{name}" if key else str(name))
        else:
            values[key] = value

    walk(OmegaConf.to_container(config, resolve=True), "")
    return values
