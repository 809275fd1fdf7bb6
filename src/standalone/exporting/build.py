"""Reads an export's configuration: the network, the folder of its files, and typed settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.arch_option import read_arch
from src.search_spaces.space import SearchSpace
from src.standalone.exporting.run import ExportSettings
from src.standalone.network import (
    CPU,
    Calibration,
    Network,
    extracted_network,
    fresh_network,
    is_supernet,
    retrained_network,
)
from src.training.trained_supernet import load_trained_supernet


def build(cfg: DictConfig, folder: Path, started: float) -> tuple[Network, Path, ExportSettings]:
    """The network, the folder to write to, and the settings; `started` is time.monotonic() at the command's start.

    Raises:
        UsageError: the network does not exist, or cannot be built.
    """
    out = Path(cfg.out or (Path(cfg.run) / "export" if cfg.run else folder))
    settings = ExportSettings(tuple(cfg.formats), cfg.normalise, cfg.images, cfg.seed, cfg.time, started)
    return build_network(cfg), out, settings


def build_network(cfg: DictConfig) -> Network:
    """The network that `run`, `arch` and `search_space` name together.

    Raises:
        UsageError: too little or too much is named, or something of another kind.
    """
    # fresh weights: a network of a space, for timing alone
    if cfg.run is None:
        space: SearchSpace = instantiate(cfg.search_space)
        sizes = {key: cfg[key] for key in InputSpec._fields if cfg[key] is not None}
        path = read_arch(cfg.arch, space, cfg.pick)
        network = fresh_network(space, path, space.reference._replace(**sizes), cfg.seed)
    # weights cut out of a supernet
    elif is_supernet(Path(cfg.run)):
        if cfg.arch is None:
            raise UsageError(
                f"arch=<name, path or file of them> is missing: run={cfg.run} is a supernet of many networks"
            )
        trained = load_trained_supernet(cfg.run, CPU, cfg.checkpoint, cfg.dataset.root)
        path = read_arch(cfg.arch, trained.space, cfg.pick)
        calibration = Calibration(cfg.bn, cfg.calibration_images, cfg.batch_size)
        network = extracted_network(trained, path, calibration, cfg.images)
    else:
        if cfg.arch is not None:
            raise UsageError(f"arch={cfg.arch}: run={cfg.run} is one retrained network, so leave arch out")
        network = retrained_network(Path(cfg.run), cfg.images, cfg.dataset.root)
    return network if cfg.name is None else replace(network, name=cfg.name)
