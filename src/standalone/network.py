"""A stand-alone network with the facts its users need: fresh, extracted from a supernet, or of a retraining.

B batch, C channels, H W size.
"""

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
from torch import Tensor, nn

from src.datasets.dataset import Dataset
from src.datasets.input_spec import InputSpec
from src.datasets.opening import open_dataset
from src.datasets.preprocessing import Preprocessing
from src.runtime.errors import UsageError
from src.runtime.resume import move_dataset
from src.runtime.run_folder import RESULT, SPLIT
from src.runtime.stored_run import read_config
from src.search_spaces.costs import Costs, measure
from src.search_spaces.space import SearchSpace
from src.standalone.extract import extract
from src.supernet.batch_norm import norms_of
from src.supernet.bn_protocols import under_protocol
from src.supernet.evaluator import Batches
from src.supernet.path import ArchPath, format_path, parse_path
from src.training.trained_supernet import TrainedSupernet

WEIGHTS, SAFETENSORS = "weights.pt", "model.safetensors"
"""In a run folder of src.retrain: the state_dict of the network that the space builds."""
CPU = torch.device("cpu")
DAMAGED = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError)
"""Errors of reading a file that a fault or a hand has changed."""


@dataclass(frozen=True)
class Network:
    """A network on the CPU, in evaluation mode, as its search space builds it."""

    name: str
    """An identifier: a published name, or the space's name and the path."""
    space: SearchSpace
    path: ArchPath
    net: nn.Module
    """Normalised images (B, C, H, W) to logits (B, classes)."""
    input_spec: InputSpec
    origin: str
    """Where the weights come from, in words."""
    classes: list[str] | None = None
    mean: tuple[float, ...] | None = None
    """Per channel, of images in [0, 1]; like `std` unknown of networks that have seen no data."""
    std: tuple[float, ...] | None = None
    preprocessing: Preprocessing | None = None
    """From an image file to pixels; unknown of networks that have seen no data."""
    record: dict[str, Any] | None = None
    """The result of its training alone, for the model card."""
    held_out: Tensor | None = None
    """Some validation images (B, C, H, W), normalised, if their data set is available."""

    @cached_property
    def costs(self) -> Costs:
        """Parameters, and multiply-adds for an image of its own size."""
        # Measured on this one network: `space.costs` would tabulate every choice of the space first.
        shape = (self.input_spec.in_channels, self.input_spec.image_size, self.input_spec.image_size)
        return measure(partial(self.space.build_path, self.path, *self.input_spec), shape)[0]

    @property
    def has_statistics(self) -> bool:
        """Whether its batch norms keep running statistics; else an image's logits depend on the batch it is in."""
        return all(norm.running_mean is not None for norm in norms_of([self.net]))


@dataclass(frozen=True)
class Calibration:
    """BN statistics of a network extracted from a supernet."""

    bn: str
    """`recalibrate`: its own, exact over calibration images; `running`: the supernet's."""
    images: int
    """The first of the training part."""
    batch_size: int


def fresh_network(space: SearchSpace, path: ArchPath, input_spec: InputSpec, seed: int) -> Network:
    """A freshly initialised network that has seen no data."""
    # A fork, so that the weights depend on the seed alone and the global generator does not move.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = space.build_path(path, *input_spec).eval()
    origin = f"none: freshly initialised, seed {seed}"
    return Network(network_name(space, path), space, path, net, input_spec, origin)


def extracted_network(trained: TrainedSupernet, path: ArchPath, calibration: Calibration, images: int) -> Network:
    """A path of a supernet with copies of its weights there, and up to `images` held-out images."""
    net = extract(trained.space, trained.net, path, trained.input_spec).eval()
    origin = f"of the supernet in run {trained.folder.name} after {trained.steps:,} steps"
    network = Network(network_name(trained.space, path), trained.space, path, net, trained.input_spec, origin)
    # Norms without running statistics always use the batch at hand: there is nothing to calibrate.
    if calibration.bn == "recalibrate" and network.has_statistics:
        batches = Batches(trained.dataset, "train", calibration.batch_size, CPU, calibration.images)
        recalibrate(net, (batch.images for batch in batches))
    bn = f"BN {calibration.bn}" if network.has_statistics else "BN without running statistics"
    return replace(network, origin=f"{origin}, {bn}", **data_facts(trained.dataset, images))


def retrained_network(folder: Path, images: int, root: str | None = None) -> Network:
    """The network of a finished run of src.retrain, and up to `images` held-out images if its data set is there.

    `root` is the folder of images that have moved.

    Raises:
        UsageError: the files are damaged, or do not belong together.
    """
    stored = read_config(folder, "retrain")
    space: SearchSpace = instantiate(stored.search_space)
    try:
        result = json.loads((folder / RESULT).read_text())
        path, input_spec = space.check(parse_path(result["path"])), InputSpec(**result["input"])
        net = space.build_path(path, *input_spec)
        net.load_state_dict(torch.load(folder / WEIGHTS, map_location=CPU, weights_only=True))
        facts: dict[str, Any] = {"classes": result["classes"]}
        facts |= {"mean": tuple(result["mean"]), "std": tuple(result["std"])}
        if known := result.get("preprocessing"):
            facts["preprocessing"] = Preprocessing.from_dict(known)
    except DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"run={folder}: {RESULT} or {WEIGHTS} is damaged or of another network: {reason}") from None

    # The run folder holds all facts of the data, so the data set may have moved away or changed since.
    held_out = None
    if root is not None:
        move_dataset(stored.dataset, root)
    try:
        dataset = open_dataset(stored.dataset, folder / SPLIT)
    except (UsageError, InstantiationException):
        if root is not None:  # asked for by name
            raise
    else:
        if dataset.input_spec == input_spec:
            held_out = data_facts(dataset, images)["held_out"]
            facts.setdefault("preprocessing", dataset.preprocessing)  # older results do not hold it
    name, origin = network_name(space, path), f"of the retraining in run {folder.name}"
    return Network(name, space, path, net.eval(), input_spec, origin, record=result, held_out=held_out, **facts)


def is_supernet(folder: Path) -> bool:
    """Whether a run folder is one of src.train; if not, it must be a finished one of src.retrain.

    Raises:
        UsageError: it is neither of them.
    """
    if read_config(folder, "train", "retrain").command == "train":
        return True
    if not (folder / RESULT).is_file():
        raise UsageError(f"run={folder} is not finished: resume it with python -m src.retrain resume={folder}")
    if not (folder / WEIGHTS).is_file():
        raise UsageError(f"run={folder} has no {WEIGHTS}: give the folder of one retrained network")
    return False


def recalibrate(net: nn.Module, images: Iterable[Tensor]) -> None:
    """Recalibrate BN in place: exact statistics over batches (B, C, H, W), as the protocol `recalibrate` scores."""
    # The protocol restores the old statistics when its block ends, so the new ones are copied out of it.
    with under_protocol(net, "recalibrate", net, images):
        buffers = {name: value.clone() for name, value in net.named_buffers()}
    for name, value in buffers.items():
        net.get_buffer(name).copy_(value)


def data_facts(dataset: Dataset, count: int) -> dict[str, Any]:
    """Facts of a data set that its networks need, and its first `count` validation images (B, C, H, W)."""
    images = torch.cat([batch.images for batch in dataset.batches("val", count, CPU, count)])
    facts = {"classes": list(dataset.classes), "preprocessing": dataset.preprocessing}
    return facts | {"mean": dataset.mean, "std": dataset.std, "held_out": images}


def network_name(space: SearchSpace, path: ArchPath) -> str:
    """A published name, or the space's name and the path, as an identifier: `mini_20211`, `expanded_3_63_7_9_3_2`."""
    published = [name for name, named in space.named.items() if named == path]
    # digits run together only where each choice is one
    between = "_" if max(space.sizes) > 10 else ""
    return published[0] if published else f"{space.name}_{format_path(path).replace('-', between)}"
