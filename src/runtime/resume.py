"""Going on with a run: the stored configuration wins, and a command line that contradicts it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError
from src.runtime.run_folder import CONFIG, COUNTS, METRICS, cut_back, replace_file

FREE = ("budget", "trainer", "logger")
"""What may change when a run goes on."""
UNSTORED = ("resume", "checkpoint")
WHOLE = ("experiment",)
"""Config groups that set keys anywhere."""
COMMANDS = {"searcher": "src.search", "recipe": "src.retrain", "sampler": "src.train"}
"""By a config group that only this command has, a stored configuration is known to be its own."""


def settle(
    cfg: DictConfig, folder: Path, overrides: Sequence[str], is_sweep: bool, free: Sequence[str] = FREE
) -> DictConfig:
    """The configuration to run with; nothing is written.

    A new folder takes `cfg`. One that was started keeps its own, with `free` sections from `overrides`; a sweep's job
    gives all its keys anew each time, so there all of them are compared that the folder has: others are younger than
    it, and count only if `overrides` name them.

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
    stored = _read(path)
    _refuse_another_command(cfg, stored, folder)
    names = _names(overrides)
    compare_all = is_sweep or any(name in WHOLE for name in names)
    _refuse_differences(cfg, stored, names, compare_all, folder, free)
    for name in free if is_sweep else [name for name in names if name.split(".")[0] in free]:
        # The kinds of budget exclude each other, so a new one replaces them all.
        key = "budget" if name.startswith("budget") else name
        OmegaConf.update(stored, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    for key in UNSTORED:
        stored[key] = cfg.get(key)
    return stored


def refuse_another_space(cfg: DictConfig, trained: DictConfig, overrides: Sequence[str]) -> None:
    """For commands on a trained run, whose space is known: `overrides` of it must say what the run has.

    Raises:
        UsageError: they say something else.
    """
    now, before, names = _leaves(cfg), _leaves(trained), _names(overrides)
    for key in sorted(now.keys() | before.keys()):
        is_named = any(name in names for name in _above(key))
        if is_named and key.split(".")[0] == "search_space" and now.get(key) != before.get(key):
            raise UsageError(
                f"run={cfg.run} was trained on search_space={trained.choices.search_space} with {key}="
                f"{before.get(key)}, not {now.get(key)}: leave search_space out, a run knows its own"
            )


def store(cfg: DictConfig, folder: Path) -> None:
    """Write config.yaml: resolved, without what belongs to one start alone."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    kept = {key: value for key, value in plain.items() if key not in UNSTORED}
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / CONFIG, OmegaConf.to_yaml(OmegaConf.create(kept)))


def cut_back_tables(folder: Path, step: int) -> None:
    """Drop the rows that were written after the checkpoint that a run goes on from."""
    for name in (METRICS, COUNTS):
        cut_back(folder / name, step)


def _read(path: Path) -> DictConfig:
    try:
        stored = OmegaConf.load(path)
    except Exception as error:  # YAML's errors have no base in common with OmegaConf's
        raise UsageError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(stored, DictConfig):
        raise UsageError(f"{path} is no configuration: give the folder of a run")
    return stored


def _refuse_another_command(cfg: DictConfig, stored: DictConfig, folder: Path) -> None:
    """Each command has a configuration of its own, and could only complain of keys that it does not find."""
    own, other = _command(cfg), _command(stored)
    if own != other:
        right = f"go on with python -m {other} resume={folder}" if other else "give another folder"
        raise UsageError(f"{folder} is a run of {other or 'another command'}, not of {own or 'this one'}: {right}")


def _command(cfg: DictConfig) -> str | None:
    return next((name for group, name in COMMANDS.items() if OmegaConf.select(cfg, f"choices.{group}")), None)


def _refuse_differences(
    new: DictConfig, stored: DictConfig, names: Sequence[str], compare_all: bool, folder: Path, free: Sequence[str]
) -> None:
    """Compare leaf by leaf below the given keys, or wherever the stored one has something."""
    now, before = _leaves(new), _leaves(stored)
    for key in sorted(now.keys() | before.keys()):
        top, is_known = key.split(".")[0], any(above in before for above in _above(key))
        asked = any(name in names for name in _above(key)) or (compare_all and is_known)
        if not asked or top in free or top in UNSTORED or now.get(key) == before.get(key):
            continue
        was = f"with {key}={before.get(key)}" if is_known else f"without {key}"
        raise UsageError(
            f"{folder} was started {was}, not {now.get(key)}: leave it out to go on with the stored value, or start a "
            f"new run; only {', '.join(free)} may change"
        )


def _names(overrides: Sequence[str]) -> list[str]:
    """The keys that a command line sets."""
    return [override.lstrip("+~").split("=", 1)[0].split("@")[0] for override in overrides]


def _above(key: str) -> list[str]:
    """The key and all sections that it is in: a.b and a of a.b."""
    parts = key.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _leaves(cfg: DictConfig) -> dict[str, Any]:
    """Every value by its dotted key."""
    found: dict[str, Any] = {}

    def walk(value: Any, key: str) -> None:
        if isinstance(value, dict) and value:
            for name, inner in value.items():
                walk(inner, f"{key}.{name}" if key else str(name))
        else:
            found[key] = value

    walk(OmegaConf.to_container(cfg, resolve=True), "")
    return found
