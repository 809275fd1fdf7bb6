"""Checks of a ranking's configuration, made before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from src.runtime.errors import UsageError, unknown
from src.runtime.run_folder import LISTED_PATHS, PROTOCOLS, RANK_BY
from src.runtime.validate import boolean, number, one_of, only


def check_ranking(cfg: DictConfig) -> None:
    """Refuse values of src.rank out of their range, each by a line that says what is right."""
    if (cfg.run is None) == (cfg.scores is None):
        raise UsageError("give one of run=<folder of a training run> and scores=<file of predictions>")
    for key in ("run", "scores", "out"):
        if not isinstance(cfg[key], str | None):
            raise UsageError(f"{key}={cfg[key]}: give one path of a file or folder")
    number(cfg, "images", 1, whole=True, optional=True)
    number(cfg, "calibration_images", 1, whole=True)
    number(cfg, "batch_size", 1, whole=True)
    number(cfg, "seed", 0, 2**63 - 1, whole=True)
    if isinstance(cfg.paths, int) or cfg.paths is None:
        number(cfg, "paths", 2, LISTED_PATHS, whole=True)
    one_of(cfg, "split", ("val", "test"))
    one_of(cfg, "checkpoint", ("last", "previous"))
    one_of(cfg, "device", ("auto", "cpu", "cuda"))
    if cfg.by is not None:
        one_of(cfg, "by", RANK_BY)
    boolean(cfg, "subsets")
    only(cfg, "similarity", ("layer", "images"))
    number(cfg, "similarity.layer", 0, whole=True, optional=True)
    number(cfg, "similarity.images", 2, whole=True)
    cfg.bn = [cfg.bn] if isinstance(cfg.bn, str) else cfg.bn
    if not cfg.bn or not isinstance(cfg.bn, Sequence):
        raise UsageError(f"bn={cfg.bn} names no protocol: give one or several of {', '.join(PROTOCOLS)}")
    for protocol in cfg.bn:
        if protocol not in PROTOCOLS:
            raise unknown("bn", protocol, PROTOCOLS)
