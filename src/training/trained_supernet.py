"""A trained supernet read back from its run folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from src.datasets.dataset import Dataset
from src.datasets.input_spec import InputSpec
from src.datasets.opening import open_dataset
from src.runtime.devices import allow_tf32
from src.runtime.errors import UsageError
from src.runtime.resume import move_dataset
from src.runtime.run_folder import SPLIT
from src.runtime.stored_run import read_checkpoint, read_config
from src.search_spaces.space import SearchSpace
from src.supernet.inter_choice import split_weights
from src.supernet.supernet import Supernet
from src.training.build import build_supernet
from src.training.run_state import STATE


@dataclass(frozen=True)
class TrainedSupernet:
    """A training run as later stages need it."""

    folder: Path
    cfg: DictConfig
    dataset: Dataset
    space: SearchSpace
    net: Supernet
    steps: int
    """Supernet steps behind the weights."""
    digest: str
    """Hash of all weights and statistics."""

    @property
    def input_spec(self) -> InputSpec:
        """The input its networks were built for."""
        return self.dataset.input_spec


def load_trained_supernet(
    run: str, device: torch.device, checkpoint: str = "last", root: str | None = None
) -> TrainedSupernet:
    """The supernet of a run folder with the weights of a checkpoint, split if it was; `root` of images that moved.

    Raises:
        UsageError: no such folder, no training run in it, no checkpoint, or other images than it was trained on.
    """
    folder = Path(run)
    cfg = read_config(folder, "train")
    saved = read_checkpoint(folder, checkpoint, "train")
    if saved is None:
        raise UsageError(f"run={run} has no checkpoint yet: train it with python -m src.train resume={run}")
    # the conditions of the training: precision, images, space
    allow_tf32(cfg.tf32)
    if root is not None:
        move_dataset(cfg.dataset, root)
    dataset = open_dataset(cfg.dataset, folder / SPLIT)
    space: SearchSpace = instantiate(cfg.search_space)
    net, _ = build_supernet(cfg, dataset, space)
    # copies of the weights exist from the split on
    if saved[STATE]["is_split"]:
        split_weights(net)
    state: dict[str, Any] = saved["state_dict"]
    # an architecture's logits stand beside the net; the average of the weights, where one was kept, is what counts
    weights = {key.removeprefix("net."): value for key, value in state.items() if key.startswith("net.")}
    weights |= saved[STATE].get("average", {}).get("values", {})
    net.load_state_dict(weights)
    digest = digest_of(state | {f"net.{name}": value for name, value in weights.items()})
    return TrainedSupernet(folder, cfg, dataset, space, net.to(device), saved[STATE]["steps"], digest)


def digest_of(state: dict[str, Any]) -> str:
    """A hash of names and values: the same weights saved twice have the same one."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode() + value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
