"""Reads an export's configuration: the network, the folder of its files, and typed settings."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from src.standalone.exporting.run import ExportSettings
from src.standalone.network import Network, read_network


def build(cfg: DictConfig, folder: Path, started: float) -> tuple[Network, Path, ExportSettings]:
    """The network that `run`, `arch` and `search_space` name, the folder to write to, and the settings.

    Raises:
        UsageError: the network does not exist, or cannot be built.
    """
    out = Path(cfg.out or (Path(cfg.run) / "export" if cfg.run else folder))
    settings = ExportSettings(tuple(cfg.formats), cfg.normalise, cfg.images, cfg.seed, cfg.time, started)
    return read_network(cfg), out, settings
