"""A trained supernet read back from its run folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.datasets.dataset import Dataset
from src.datasets.input_spec import InputSpec
from src.runtime.checkpoint import read_checkpoint
from src.runtime.devices import allow_tf32
from src.runtime.errors import UsageError
from src.runtime.run_folder import CONFIG, SPLIT
from src.search_spaces.space import SearchSpace
from src.supernet.inter_choice import split_weights
from src.supernet.supernet import Supernet
from src.training.build import build_supernet


@dataclass(frozen=True)
class TrainedSupernet:
    """What later stages need of a training run."""

    folder: Path
    cfg: DictConfig
    dataset: Dataset
    space: SearchSpace
    net: Supernet
    steps: int
    """Supernet steps behind the weights."""
    digest: str
    """Of all weights and statistics."""

    @property
    def input_spec(self) -> InputSpec:
        """The input its networks were built for."""
        return self.dataset.input_spec


def load_trained_supernet(run: str, device: torch.device, checkpoint: str = "last") -> TrainedSupernet:
    """The supernet of a run folder with the weights of a checkpoint, split if it was.

    Raises:
        UsageError: no such folder, no training run in it, no checkpoint, or other images than it was trained on.
    """
    folder = Path(run)
    cfg = read_config(folder)
    saved = read_checkpoint(folder, checkpoint, "src.train")
    if saved is None:
        raise UsageError(f"run={run} has no checkpoint yet: train it with python -m src.train resume={run}")
    allow_tf32(cfg.get("tf32", True))
    dataset: Dataset = instantiate(cfg.dataset)
    dataset.check_split(folder / SPLIT)
    space: SearchSpace = instantiate(cfg.search_space)
    net, _ = build_supernet(cfg, dataset, space)
    if saved["fairpath"].get("is_split"):
        split_weights(net)
    state: dict[str, Any] = saved["state_dict"]
    net.load_state_dict({key.removeprefix("net."): value for key, value in state.items()})
    digest = _digest(state)
    return TrainedSupernet(folder, cfg, dataset, space, net.to(device), saved["fairpath"]["steps"], digest)


def _digest(state: dict[str, Any]) -> str:
    """Of names and values, so that the same weights saved twice are the same."""
    found = hashlib.sha256()
    for name, value in sorted(state.items()):
        found.update(name.encode() + value.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()[:16]


def read_config(folder: Path) -> DictConfig:
    """The configuration of a training run.

    Raises:
        UsageError: the folder is none of a training run.
    """
    if not folder.is_dir():
        raise UsageError(f"run={folder}: there is no such run folder")
    if not (folder / CONFIG).is_file():
        raise UsageError(f"run={folder} is no run folder: it has no {CONFIG}")
    try:
        cfg = OmegaConf.load(folder / CONFIG)
    except Exception as error:  # YAML's errors have no base in common with OmegaConf's
        raise UsageError(f"{folder / CONFIG} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(cfg, DictConfig) or OmegaConf.select(cfg, "choices.sampler") is None:
        raise UsageError(f"run={folder} was not written by src.train: its {CONFIG} names no sampler")
    if "inter_choice" not in cfg:  # of runs from before there was a choice
        cfg.inter_choice = {"_target_": "src.supernet.inter_choice.InterChoice"}
    return cfg
