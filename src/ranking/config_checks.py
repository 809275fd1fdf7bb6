"""Rules between the keys of a ranking's configuration, checked before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from src.runtime.errors import UsageError
from src.runtime.validate import check_keys

SCORING = ("images", "calibration_images", "batch_size", "temperature")
"""Settings that the scores of a supernet depend on, beside the BN protocol; a table of scores has no use for them."""
OF_A_RUN = (*SCORING, "bn", "paths", "split", "checkpoint", "device", "dataset.root", "proxy_images", "similarity")
"""Keys of a ranking, or their first part, that a file of scores has no use for."""


def check_ranking(cfg: DictConfig) -> None:
    """Refuse, in one line, values that conf/ does not allow and scores from no source or from two; lists `bn`."""
    check_keys(cfg, "rank")
    if (cfg.run is None) == (cfg.scores is None):
        raise UsageError("give one of run=<folder of a training run> and scores=<file of predictions>")
    if cfg.proxies is not None and cfg.run is None:
        raise UsageError("proxies= looks at networks and images of a run: give run=, not scores=")
    cfg.proxies = [cfg.proxies] if isinstance(cfg.proxies, str) else list(cfg.proxies or [])
    # one protocol may be written without brackets
    cfg.bn = [cfg.bn] if isinstance(cfg.bn, str) else cfg.bn


def refuse_unused(overrides: Sequence[str], keys: Sequence[str], table: str) -> None:
    """Refuse overrides of `keys`, or of keys below them, beside scores that are there already.

    Raises:
        UsageError: there is one, which would have no effect on `table`.
    """
    for override in overrides:
        name = override.lstrip("+").partition("=")[0]
        if any(name == key or name.startswith(f"{key}.") for key in keys):
            raise UsageError(f"{name}= is of scoring a supernet: it does not go with {table}, leave it out")
