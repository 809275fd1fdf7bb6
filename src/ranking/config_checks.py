"""Rules between the keys of a ranking's configuration, checked before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from src.runtime.errors import UsageError
from src.runtime.validate import check_keys

SCORING = ("images", "calibration_images", "batch_size", "temperature")
"""Settings that the scores of a supernet depend on, beside the BN protocol; a table of scores has no use for them."""


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


def refuse_scoring(overrides: Sequence[str], table: str) -> None:
    """Refuse overrides of `SCORING` beside scores that are there already.

    Raises:
        UsageError: there is one, which would have no effect on `table`.
    """
    keys = [override.lstrip("+").partition("=")[0] for override in overrides]
    if unused := [key for key in keys if key in SCORING]:
        raise UsageError(f"{unused[0]}= is of scoring a supernet: it does not go with {table}, leave it out")
