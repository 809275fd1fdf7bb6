"""What is checked of a search's configuration before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, ListConfig

from src.runtime.errors import UsageError
from src.runtime.run_folder import PROTOCOLS
from src.runtime.validate import number, one_of, only

EVALUATORS = ("supernet", "scores", "truth")
LIMITS = ("macs", "params", "latency")
BACKENDS = ("torch", "onnxruntime")


def check_search(cfg: DictConfig) -> None:
    """Refuse values out of their range, each by a line that says what is right."""
    for key in ("run", "scores"):
        if not isinstance(cfg[key], str | None):
            raise UsageError(f"{key}={cfg[key]}: give one path of a file or folder")
    if not isinstance(cfg.objectives, ListConfig):
        raise UsageError(f"objectives={cfg.objectives}: give a list, as objectives=[accuracy,macs,params]")
    evaluator_of(cfg)
    number(cfg, "seed", 0, 2**63 - 1, whole=True)
    number(cfg, "select", 1, whole=True)
    only(cfg, "budget", ("models", "generations"))
    number(cfg, "budget.models", 1, whole=True)
    number(cfg, "budget.generations", 1, whole=True, optional=True)
    only(cfg, "limit", LIMITS)
    for name in LIMITS:
        number(cfg, f"limit.{name}", 0, optional=True)
    one_of(cfg, "bn", PROTOCOLS)
    number(cfg, "images", 1, whole=True, optional=True)
    number(cfg, "calibration_images", 1, whole=True)
    number(cfg, "batch_size", 1, whole=True)
    one_of(cfg, "device", ("auto", "cpu", "cuda"))
    for key in ("checkpoint", "supernet_checkpoint"):
        one_of(cfg, key, ("last", "previous"))
    _check_latency(cfg)


def evaluator_of(cfg: DictConfig) -> str:
    """Who scores the networks: as `evaluator` says, or as follows from what is given.

    Raises:
        UsageError: nothing follows, or what it needs is missing.
    """
    if cfg.run is not None and cfg.scores is not None:
        raise UsageError("give one of run=<folder of a training run> and scores=<file of scores>")
    if cfg.evaluator is None and cfg.run is None and cfg.scores is None:
        raise UsageError("say who scores networks: run=<folder of a training run>, scores=<file>, or evaluator=truth")
    if cfg.evaluator is None:
        return "supernet" if cfg.run is not None else "scores"
    one_of(cfg, "evaluator", EVALUATORS)
    if cfg.evaluator != "supernet" and cfg.run is not None:
        raise UsageError(f"run={cfg.run} scores with its supernet: leave evaluator={cfg.evaluator} or run= out")
    needed = {"supernet": "run", "scores": "scores"}.get(cfg.evaluator)
    if needed and cfg[needed] is None:
        raise UsageError(f"evaluator={cfg.evaluator} needs {needed}=<path>")
    return str(cfg.evaluator)


def check_words(words: Sequence[str], evaluator: str) -> None:
    """Refuse what was said on the command line and would mean nothing.

    Raises:
        UsageError: a space beside a run, which has its own.
    """
    if evaluator == "supernet" and any(word.lstrip("+").startswith("search_space=") for word in words):
        raise UsageError("search_space= does not go with run=, which has its own: leave it out")


def _check_latency(cfg: DictConfig) -> None:
    only(cfg, "latency", ("table", "backend", "threads", "batch_size", "check"))
    one_of(cfg, "latency.backend", BACKENDS)
    for key in ("threads", "batch_size"):
        number(cfg, f"latency.{key}", 1, whole=True)
    number(cfg, "latency.check", 0, 1000, whole=True)
    if not isinstance(cfg.latency.table, str | None):
        raise UsageError(f"latency.table={cfg.latency.table}: give one file")
