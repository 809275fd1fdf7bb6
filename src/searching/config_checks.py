"""Rules between the keys of a search's configuration, checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig

from src.ranking.config_checks import SCORING, refuse_unused
from src.runtime.errors import UsageError
from src.runtime.validate import check_keys


def check_search(cfg: DictConfig) -> None:
    """Refuse, in one line, values that conf/ does not allow and a search without an evaluator or with two."""
    check_keys(cfg, "search")
    evaluator_of(cfg)


def evaluator_of(cfg: DictConfig) -> str:
    """The evaluator of networks: supernet, scores or truth; where `evaluator` is null, by run= and scores=.

    Raises:
        UsageError: none or two are named, or what it needs is missing.
    """
    if cfg.run is not None and cfg.scores is not None:
        raise UsageError("give one of run=<folder of a training run> and scores=<file of scores>")
    if cfg.evaluator is None and cfg.run is None and cfg.scores is None:
        raise UsageError("no evaluator: set run=<folder of a training run>, scores=<file>, or evaluator=truth")
    # said by run= or scores= alone
    if cfg.evaluator is None:
        return "supernet" if cfg.run is not None else "scores"
    # said by `evaluator`, which must have what it needs and nothing beside it
    if cfg.evaluator != "supernet" and cfg.run is not None:
        raise UsageError(f"run={cfg.run} scores with its supernet: leave evaluator={cfg.evaluator} or run= out")
    needed = {"supernet": "run", "scores": "scores"}.get(cfg.evaluator)
    if needed and cfg[needed] is None:
        raise UsageError(f"evaluator={cfg.evaluator} needs {needed}=<path>")
    return str(cfg.evaluator)


def check_overrides(overrides: Sequence[str], evaluator: str) -> None:
    """Refuse an override that would have no effect.

    Raises:
        UsageError: a space beside a run, which has its own, or how to score beside a table of scores.
    """
    if evaluator != "supernet":
        # scores may be of several BN protocols, a truth is of none
        unused = (*SCORING, "supernet_checkpoint", "dataset.root", *(["bn"] if evaluator == "truth" else []))
        refuse_unused(overrides, unused, f"evaluator={evaluator}")
    if evaluator == "supernet" and any(override.lstrip("+").startswith("search_space=") for override in overrides):
        raise UsageError("search_space= does not go with run=, which has its own: leave it out")
