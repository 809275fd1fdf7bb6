"""Reads a bench's configuration into typed settings, one class for each bench.

L layers, m choices of a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.benches.ways import Case
from src.datasets.input_spec import InputSpec
from src.search_spaces.expanded import Expanded
from src.search_spaces.space import SearchSpace
from src.training.optimizer import make_optimizer

VARIED = ("choices", "layers", "batch_size", "paths")
"""Numbers that a step's growth is measured against, one at a time."""
OVERHEAD_CASES = ("nas_bench_201", "mini")


@dataclass(frozen=True, kw_only=True)
class RoundSettings:
    """Repetitions: in each round everything that is compared takes its turn."""

    rounds: int
    steps: int
    """Steps or batches of a turn."""
    seed: int


@dataclass(frozen=True, kw_only=True)
class DataSettings(RoundSettings):
    """bench=data."""

    batch_size: int


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """bench=evaluate."""

    space: SearchSpace
    input_spec: InputSpec
    paths: int | None
    """Paths drawn at random; None: all of the space."""
    plain_paths: int
    """Of them are also scored one at a time."""
    protocol: str
    """BN protocol."""
    images: int
    calibration_images: int
    batch_size: int
    channels_last: bool
    seed: int


@dataclass(frozen=True, kw_only=True)
class MethodSettings(RoundSettings):
    """bench=inter_choice and bench=importance."""

    space: SearchSpace
    input_spec: InputSpec
    batch_size: int
    channels_last: bool
    optimizer: Callable[..., torch.optim.Optimizer]
    """Weight decay of inter-choice weights, then the network -> optimizer."""


@dataclass(frozen=True, kw_only=True)
class OverheadSettings(RoundSettings):
    """bench=overhead."""

    cases: dict[str, tuple[SearchSpace, InputSpec]]
    batch_size: int


@dataclass(frozen=True, kw_only=True)
class GrowthSettings(RoundSettings):
    """bench=step case=growth: each list of values after the other put into `base`."""

    executions: list[str]
    channels: int
    base: dict[str, int]
    """m, L and batch size where they are not varied."""
    values: dict[str, list[int]]
    """Name of VARIED -> its values."""
    case: Case
    """Everything about a step that is not varied; its space, batch size and paths are replaced at each point."""


@dataclass(frozen=True, kw_only=True)
class MaskedSettings(RoundSettings):
    """bench=step with a case of widths and depths."""

    space: Expanded
    input_spec: InputSpec
    partition: dict[str, int]
    """Depths and widths of a range."""
    batch_size: int
    channels_last: bool


@dataclass(frozen=True, kw_only=True)
class StepBenchSettings(RoundSettings):
    """bench=step, without case=growth."""

    executions: list[str]
    cases: dict[str, Case]
    precision: str
    tf32: bool


StepSettings = GrowthSettings | MaskedSettings | StepBenchSettings
BenchSettings = DataSettings | EvaluateSettings | MethodSettings | OverheadSettings | StepSettings


def build(cfg: DictConfig, device: torch.device) -> BenchSettings:
    """The settings of the bench that a checked configuration asks for; threads are those of the moment."""
    # every bench takes its turns alike; the rest is of each bench's own
    turns = {"rounds": cfg.rounds, "steps": cfg.steps, "seed": cfg.seed}
    if cfg.bench == "data":
        return DataSettings(**turns, batch_size=cfg.batch_size)
    if cfg.bench == "overhead":
        names = OVERHEAD_CASES if cfg.case == "all" else (cfg.case,)
        cases = {name: space_and_input(cfg.cases[name].search_space, case_image_size(cfg, name)) for name in names}
        return OverheadSettings(**turns, cases=cases, batch_size=cfg.batch_size or 64)
    if cfg.bench == "step":
        return build_step(cfg, turns, device)
    space, input_spec = space_and_input(cfg.search_space, cfg.image_size)
    if cfg.bench in ("inter_choice", "importance"):
        return MethodSettings(
            **turns,
            space=space,
            input_spec=input_spec,
            batch_size=cfg.batch_size,
            channels_last=cfg.channels_last,
            optimizer=partial(make_optimizer, cfg.optimizer, cfg.norm_decay),
        )
    return EvaluateSettings(
        space=space,
        input_spec=input_spec,
        paths=None if cfg.paths == "all" else cfg.paths,
        plain_paths=cfg.plain_paths,
        protocol=cfg.bn,
        images=cfg.images,
        calibration_images=cfg.calibration_images,
        batch_size=cfg.batch_size,
        channels_last=cfg.channels_last,
        seed=cfg.seed,
    )


def build_step(cfg: DictConfig, turns: dict[str, int], device: torch.device) -> StepSettings:
    """The settings of bench=step: of one case or all, or of its growth."""
    if cfg.case not in ("all", "growth"):
        one, input_spec = space_and_input(cfg.cases[cfg.case].search_space, case_image_size(cfg, cfg.case))
        if isinstance(one, Expanded):
            return MaskedSettings(
                **turns,
                space=one,
                input_spec=input_spec,
                partition=dict(cfg.cases[cfg.case].partition),
                batch_size=cfg.batch_size or cfg.cases[cfg.case].batch_size,
                channels_last=cfg.channels_last,
            )
    # plain values, since a case travels to the process of each execution
    same = {key: cfg[key] for key in ("seed", "channels_last", "precision", "tf32")}
    same |= {"threads": torch.get_num_threads(), "device": str(device)}
    executions = list(cfg.ways)
    if cfg.case == "growth":
        return GrowthSettings(
            **turns,
            executions=executions,
            channels=cfg.growth.channels,
            base={name: cfg.growth.base[name] for name in VARIED[:-1]},
            values={name: list(cfg.growth[name]) for name in VARIED},
            case=Case({}, cfg.growth.image_size, cfg.growth.base.batch_size, **same),
        )
    names = [name for name in cfg.cases if cfg.cases[name].get("default")] if cfg.case == "all" else [cfg.case]
    cases = {}
    for name in names:
        space: Any = OmegaConf.to_container(cfg.cases[name].search_space, resolve=True)
        cases[name] = Case(space, case_image_size(cfg, name), cfg.batch_size or cfg.cases[name].batch_size, **same)
    return StepBenchSettings(**turns, executions=executions, cases=cases, precision=cfg.precision, tf32=cfg.tf32)


def case_image_size(cfg: DictConfig, name: str) -> int:
    """Pixels a side: the key of the command line before the case's own."""
    return int(cfg.image_size or cfg.cases[name].image_size)


def space_and_input(search_space: DictConfig, image_size: int) -> tuple[SearchSpace, InputSpec]:
    """A search space, and its reference input at another image size."""
    space: SearchSpace = instantiate(search_space)
    return space, space.reference._replace(image_size=image_size)


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The resolved configuration for result.json, without `usual`, which went into the other keys."""
    container = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items() if key != "usual"}
