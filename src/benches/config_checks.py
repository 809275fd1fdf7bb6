"""Complete a bench's configuration, and check rules between its keys, before torch is imported."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError, unknown
from src.runtime.validate import check_keys

GROWTH = ("choices", "layers", "batch_size", "paths")
HAVE_CASES = ("step", "overhead", "data")
"""Benches whose cases have an image size and a batch size of their own."""


def with_space(cfg: DictConfig) -> DictConfig:
    """The configuration with the bench's usual search space and recipe where none was chosen."""
    if cfg.search_space is not None or cfg.bench not in cfg.usual:
        return cfg
    usual = OmegaConf.masked_copy(cfg.usual[cfg.bench], ["search_space", "recipe"])
    completed = OmegaConf.merge(cfg, usual)
    assert isinstance(completed, DictConfig)
    return completed


def check_bench(cfg: DictConfig) -> None:
    """Refuse, in one line, values that conf/ does not allow and cases that the bench does not have; lists `ways`."""
    check_keys(cfg, "bench")
    for key in ("image_size", "batch_size"):
        if cfg[key] is None and cfg.bench not in HAVE_CASES:
            raise UsageError(f"{key}=null: bench={cfg.bench} has no cases to take it from, use a whole number")
    # cases are keys of the configuration, so conf/ cannot list them as choices
    cases = ["all", *(["growth"] if cfg.bench == "step" else []), *cfg.cases]
    if cfg.case not in cases:
        raise unknown("case", cfg.case, cases)
    cfg.ways = [cfg.ways] if isinstance(cfg.ways, str) else cfg.ways
    if cfg.case == "growth" and "compiled" in cfg.ways:
        raise UsageError("case=growth would compile at each of its points: use ways=[serial,window]")
    if cfg.case == "expanded_mini" and cfg.precision != "32-true":
        raise UsageError("case=expanded_mini is timed in float32: leave precision out")
    if not any(cfg.growth[name] for name in GROWTH):
        raise UsageError(f"growth: give values of {', '.join(GROWTH[:-1])} or {GROWTH[-1]}, as growth.paths=[1,2,4]")
