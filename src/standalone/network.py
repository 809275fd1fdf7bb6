"""A stand-alone network and what its users must know: from a run of src.retrain, out of a supernet, or a fresh one."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from src.datasets.dataset import Dataset
from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.runtime.run_folder import CONFIG, RESULT
from src.search_spaces.arch_option import read_arch
from src.search_spaces.costs import Costs, measure
from src.search_spaces.space import SearchSpace
from src.standalone.extract import extract
from src.supernet.batch_norm import norms_of
from src.supernet.bn_protocols import under_protocol
from src.supernet.evaluator import Batches
from src.supernet.path import ArchPath, format_path, parse_path
from src.training.trained_supernet import load_trained_supernet

WEIGHTS = "weights.pt"
"""Of a run of src.retrain: the state_dict of the network that the space builds."""
CPU = torch.device("cpu")
DAMAGED = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError)
"""What reading a file that a fault or a hand has changed may raise."""


@dataclass(frozen=True)
class Network:
    """A network on the CPU, in evaluation mode, as its search space builds it."""

    name: str
    """An identifier: a published name, or the space's name and the path."""
    space: SearchSpace
    path: ArchPath
    net: nn.Module
    input_spec: InputSpec
    origin: str
    """Where the weights come from."""
    classes: list[str] | None = None
    mean: tuple[float, ...] | None = None
    """Per channel, of images in [0, 1]; as `std` unknown of networks that have seen no data."""
    std: tuple[float, ...] | None = None
    held_out: Tensor | None = None
    """Some validation images (B, C, H, W), normalised, if their data set is at hand."""

    @cached_property
    def costs(self) -> Costs:
        """Parameters, and multiply-adds for an image of its own size: `space.costs`, without a table of all choices."""
        shape = (self.input_spec.in_channels, self.input_spec.image_size, self.input_spec.image_size)
        return measure(partial(self.space.build_path, self.path, *self.input_spec), shape)[0]

    @property
    def has_statistics(self) -> bool:
        """Whether its batch norms keep running statistics; else an image's logits depend on the batch it is in."""
        return all(norm.running_mean is not None for norm in norms_of([self.net]))


def read_network(cfg: DictConfig) -> Network:
    """The network that `run`, `arch` and `search_space` name together.

    Raises:
        UsageError: too little or too much is given, or something of another kind.
    """
    if cfg.run is None:
        found = _fresh(cfg)
    elif _is_supernet(Path(cfg.run)):
        found = _inherited(cfg)
    else:
        found = _retrained(cfg)
    return found if cfg.name is None else replace(found, name=cfg.name)


def _fresh(cfg: DictConfig) -> Network:
    space: SearchSpace = instantiate(cfg.search_space)
    asked = {key: cfg[key] for key in InputSpec._fields if cfg[key] is not None}
    input_spec = space.reference._replace(**asked)
    path = read_arch(cfg.arch, space, cfg.pick)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        net = space.build_path(path, *input_spec).eval()
    return Network(_name(space, path), space, path, net, input_spec, f"none: freshly initialised, seed {cfg.seed}")


def _inherited(cfg: DictConfig) -> Network:
    """A path cut out of a supernet, with BN statistics of its own (`recalibrate`) or the supernet's (`running`)."""
    if cfg.arch is None:
        raise UsageError(f"arch=<name, path or file of them> is missing: run={cfg.run} is a supernet of many networks")
    trained = load_trained_supernet(cfg.run, CPU, cfg.checkpoint)
    path = read_arch(cfg.arch, trained.space, cfg.pick)
    net = extract(trained.space, trained.net, path, trained.input_spec).eval()
    origin = f"of the supernet {trained.folder.name} after {trained.steps:,} steps"
    found = Network(_name(trained.space, path), trained.space, path, net, trained.input_spec, origin)
    if cfg.bn == "recalibrate" and found.has_statistics:
        images = Batches(trained.dataset, "train", cfg.batch_size, CPU, cfg.calibration_images)
        recalibrate(net, (batch.images for batch in images))
    bn = f"BN {cfg.bn}" if found.has_statistics else "BN without running statistics"
    return replace(found, origin=f"{origin}, {bn}", **_data(trained.dataset, cfg.images))


def recalibrate(net: nn.Module, images: Iterable[Tensor]) -> None:
    """Give the net, for good, the exact statistics of all its norms over batches (B, C, H, W), as scores are made."""
    with under_protocol(net, "recalibrate", net, images):
        found = {name: value.clone() for name, value in net.named_buffers()}
    for name, value in found.items():
        net.get_buffer(name).copy_(value)


def _retrained(cfg: DictConfig) -> Network:
    """The network of a finished run of src.retrain; its data set may be gone, its facts are in the run folder."""
    folder, stored = Path(cfg.run), _stored(Path(cfg.run))
    if cfg.arch is not None:
        raise UsageError(f"arch={cfg.arch}: run={folder} is one retrained network, so leave arch out")
    space: SearchSpace = instantiate(stored.search_space)
    try:
        result = json.loads((folder / RESULT).read_text())
        path, input_spec = space.check(parse_path(result["path"])), InputSpec(**result["input"])
        net = space.build_path(path, *input_spec)
        net.load_state_dict(torch.load(folder / WEIGHTS, map_location=CPU, weights_only=True))
        facts = {"classes": result["classes"], "mean": tuple(result["mean"]), "std": tuple(result["std"])}
    except DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"run={folder}: {RESULT} or {WEIGHTS} is damaged or of another network: {reason}") from None
    images = _still_there(stored, input_spec, cfg.images)
    name, origin = _name(space, path), f"of the retraining {folder.name}"
    return Network(name, space, path, net.eval(), input_spec, origin, held_out=images, **facts)


def _is_supernet(folder: Path) -> bool:
    """Whether a run folder is one of src.train; if not, it must be a finished one of src.retrain.

    Raises:
        UsageError: it is neither of them.
    """
    stored = _stored(folder)
    if OmegaConf.select(stored, "choices.sampler") is not None:
        return True
    if OmegaConf.select(stored, "choices.recipe") is None:
        raise UsageError(f"run={folder} is of another command: give a run folder of src.train or src.retrain")
    if not (folder / RESULT).is_file():
        raise UsageError(f"run={folder} is not finished: go on with python -m src.retrain resume={folder}")
    if not (folder / WEIGHTS).is_file():
        raise UsageError(f"run={folder} has no {WEIGHTS}: give the folder of one retrained network")
    return False


def _stored(folder: Path) -> Any:
    if not folder.is_dir():
        raise UsageError(f"run={folder}: there is no such run folder")
    if not (folder / CONFIG).is_file():
        raise UsageError(f"run={folder} has no {CONFIG}: give a run folder of src.train or src.retrain")
    try:
        return OmegaConf.load(folder / CONFIG)
    except Exception as error:  # YAML's errors have no base in common with OmegaConf's
        raise UsageError(f"{folder / CONFIG} cannot be read: {str(error).splitlines()[0]}") from None


def _still_there(stored: DictConfig, input_spec: InputSpec, count: int) -> Tensor | None:
    """Held-out images of a retrained network, None if its data set has moved away or changed."""
    try:
        dataset: Dataset = instantiate(stored.dataset)
    except (UsageError, InstantiationException):
        return None
    same = dataset.input_spec == input_spec
    return _data(dataset, count)["held_out"] if same else None


def _data(dataset: Dataset, count: int) -> dict[str, Any]:
    images = torch.cat([batch.images for batch in dataset.batches("val", count, CPU, count)])
    return {"classes": list(dataset.classes), "mean": dataset.mean, "std": dataset.std, "held_out": images}


def _name(space: SearchSpace, path: ArchPath) -> str:
    published = [name for name, named in space.named.items() if named == path]
    return published[0] if published else f"{space.name}_{format_path(path).replace('-', '')}"
