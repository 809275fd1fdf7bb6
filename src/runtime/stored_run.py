"""Reads back what a command stored in its run folder: configuration and checkpoint, in today's form."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError
from src.runtime.migrate import migrate
from src.runtime.run_folder import CHECKPOINTS, CONFIG, LAST, PREVIOUS, SPLIT, is_whole_archive

FOREIGN = (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError)
"""What torch raises of a whole archive that it did not write."""


def load_config(path: Path, migrated: bool = True) -> DictConfig:
    """A stored config.yaml with today's keys, `command` among them (None if no command of ours wrote it).

    With `migrated` false it has the keys that were written, for comparisons with a command line.

    Raises:
        UsageError: it cannot be read, or is not a mapping.
    """
    try:
        config = OmegaConf.load(path)
    except Exception as error:  # YAML's errors have no base in common with OmegaConf's
        raise UsageError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(config, DictConfig):
        raise UsageError(f"{path} is not a configuration: give the folder of a run")
    if migrated:
        migrate(config)
    return config


def read_config(folder: Path, *commands: str) -> DictConfig:
    """The configuration of the run folder that `run=` names, written by one of `commands`, such as train.

    Raises:
        UsageError: no such folder, no configuration in it, or one of another command.
    """
    writers = " or ".join(f"src.{command}" for command in commands)
    if not folder.is_dir():
        raise UsageError(f"run={folder}: there is no such run folder")
    if not (folder / CONFIG).is_file():
        raise UsageError(f"run={folder} is not a run folder: it has no {CONFIG}; give one of {writers}")
    # a folder says itself which command wrote it
    config = load_config(folder / CONFIG)
    if config.command not in commands:
        writer = f"src.{config.command}" if config.command else "another program"
        raise UsageError(f"run={folder} was written by {writer}: give a run folder of {writers}")
    return config


def split_digest(folder: Path) -> str:
    """Which images a run trains on, validates on and holds out, as a digest; empty of a folder without the file."""
    if not (folder / SPLIT).exists():
        return ""
    import numpy as np  # late: the manual needs no numpy

    with np.load(folder / SPLIT) as parts:
        # positions of images, and of a folder of images the names of its classes
        text = repr({name: parts[name].tolist() for name in sorted(parts.files)})
    return hashlib.sha256(text.encode()).hexdigest()


def checkpoint_path(folder: Path, which: str = LAST) -> Path:
    """Where a run folder keeps its `last` or `previous` checkpoint."""
    return folder / CHECKPOINTS / f"{which}.ckpt"


def read_checkpoint(folder: Path, which: str = LAST, command: str | None = None) -> dict[str, Any] | None:
    """A run folder's checkpoint, None if it has none yet; `command`, such as train, must have written it.

    Raises:
        UsageError: it is missing, truncated or damaged (the other one is offered if it is whole), or of another
            command.
    """
    import torch  # late: configurations are read without it

    other = PREVIOUS if which == LAST else LAST
    path, beside = checkpoint_path(folder, which), checkpoint_path(folder, other)
    if not path.exists() and not beside.exists():
        return None
    if not is_whole_archive(path):
        has_other = is_whole_archive(beside)
        offer = f"add checkpoint={other} to resume from {other}.ckpt" if has_other else "no whole one is beside it"
        raise UsageError(f"checkpoint {path} is {'truncated or damaged' if path.exists() else 'missing'}: {offer}")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FOREIGN as error:
        raise UsageError(f"{path} is not a checkpoint of a run: {str(error).splitlines()[0]}") from None
    if not isinstance(saved, dict):
        raise UsageError(f"{path} is not a checkpoint of a run: it holds a {type(saved).__name__}")
    migrate(checkpoint=saved)
    if command is not None and saved.get("command") != command:
        writer = f"src.{saved['command']}" if saved.get("command") else "another program"
        raise UsageError(f"{path} was written by {writer}, not by src.{command}: give another folder")
    return saved
