"""What is completed and checked of a bench's configuration before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from src.runtime.errors import UsageError
from src.runtime.run_folder import LISTED_PATHS, PROTOCOLS
from src.runtime.validate import boolean, number, one_of, only

WAYS = ("serial", "window", "compiled")
PRECISIONS = ("32-true", "bf16-mixed")
GROWTH = ("choices", "layers", "batch_size", "paths")
DEVICES = ("auto", "cpu", "cuda")
COUNTS = ("plain_paths", "images", "calibration_images", "rounds", "steps")


def with_space(cfg: DictConfig) -> DictConfig:
    """The configuration with the bench's usual search space and recipe where none was chosen."""
    if cfg.search_space is not None:
        return cfg
    usual = OmegaConf.masked_copy(cfg.usual[cfg.bench], ["search_space", "recipe"])
    completed = OmegaConf.merge(cfg, usual)
    assert isinstance(completed, DictConfig)
    return completed


def check_bench(cfg: DictConfig) -> None:
    """Refuse values out of their range, each by a line that says what is right."""
    for key in COUNTS:
        number(cfg, key, 1, whole=True)
    for key in ("image_size", "batch_size"):
        number(cfg, key, 1, whole=True, optional=cfg.bench in ("step", "overhead", "data"))
    one_of(cfg, "case", ["all", *(["growth"] if cfg.bench == "step" else []), *cfg.cases])
    _check_growth(cfg)
    if not cfg.ways or set(cfg.ways) - set(WAYS):
        raise UsageError(f"ways={list(cfg.ways)}: give some of {', '.join(WAYS)}, as ways=[serial,window]")
    if cfg.case == "growth" and "compiled" in cfg.ways:
        raise UsageError("case=growth would compile at each of its points: use ways=[serial,window]")
    if cfg.paths != "all":
        number(cfg, "paths", 1, LISTED_PATHS, whole=True)
    number(cfg, "threads", 1, 1024, whole=True, optional=True)
    number(cfg, "seed", 0, 2**63 - 1, whole=True)
    one_of(cfg, "bn", PROTOCOLS)
    one_of(cfg, "device", DEVICES)
    one_of(cfg, "precision", PRECISIONS)
    boolean(cfg, "tf32")
    boolean(cfg, "channels_last")
    boolean(cfg, "norm_decay")


def _check_growth(cfg: DictConfig) -> None:
    only(cfg, "growth", ("channels", "image_size", "base", *GROWTH))
    only(cfg, "growth.base", GROWTH[:-1])
    for key in ("channels", "image_size", *(f"base.{name}" for name in GROWTH[:-1])):
        number(cfg, f"growth.{key}", 1, whole=True)
    for name in GROWTH:
        values = cfg.growth[name]
        if not isinstance(values, Sequence) or not all(type(value) is int and value > 0 for value in values):
            raise UsageError(f"growth.{name}={values}: give whole numbers above 0, as growth.{name}=[1,2,4]")
    if not any(cfg.growth[name] for name in GROWTH):
        raise UsageError(f"growth: give values of {', '.join(GROWTH[:-1])} or {GROWTH[-1]}, as growth.paths=[1,2,4]")
