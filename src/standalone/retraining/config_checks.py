"""Rules between the keys of a retraining's configuration, checked before anything heavy is imported."""

from __future__ import annotations

from omegaconf import DictConfig

from src.runtime.errors import UsageError
from src.runtime.validate import check_keys
from src.training.config_checks import refuse_unused

USE_INSTEAD = {
    "gradient_clip_val": (None, "recipe.clip_norm clips the gradients"),
    "accumulate_grad_batches": (1, "recipe.lr_batch scales the learning rate to a smaller batch"),
    "max_steps": (None, "budget.steps counts steps"),
    "max_epochs": (None, "budget.epochs sets them"),
}
"""Trainer arguments whose work is done by other keys: the value they keep, and those keys."""


def check_retraining(cfg: DictConfig) -> None:
    """Refuse, in one line, values that conf/ does not allow and keys that exclude or need each other."""
    refuse_unused(cfg.trainer, USE_INSTEAD)
    check_keys(cfg, "retrain")

    # which network, and where its weights come from
    if cfg.weights == "inherited" and cfg.run is None:
        raise UsageError("weights=inherited needs run=<folder of a supernet's training run> to inherit from")
    if cfg.study is None and cfg.arch is None:
        raise UsageError("arch=<architecture> is missing: a published name, a path like 2-0-2, or a file of them")
    if cfg.study is not None and cfg.run is None:
        raise UsageError("experiment=standalone_ranking needs run=<folder of a supernet's training run>")
    if cfg.study is not None and cfg.arch is not None:
        raise UsageError(
            f"arch={cfg.arch} does not go with experiment=standalone_ranking, which picks study.count paths"
        )

    # how long and on what it is trained
    if cfg.budget.epochs is not None and cfg.budget.steps is not None:
        raise UsageError("budget.epochs and budget.steps are set together: give one of them")
    for key in ("devices", "num_nodes"):
        if cfg.trainer.get(key, 1) != 1:
            raise UsageError(
                f"trainer.{key}={cfg.trainer[key]}: one network is trained on one device; several networks side by "
                "side: a sweep (-m arch=...) with hydra/launcher=joblib"
            )
    if cfg.recipe.schedule == "step":
        for key in ("decay_epochs", "decay_rate"):
            if not cfg.recipe.get(key):
                raise UsageError(f"recipe.{key}={cfg.recipe.get(key)}: recipe.schedule=step needs a number above 0")


def check_warmup(cfg: DictConfig) -> None:
    """Refuse a warm-up as long as a whole run of the recipe, however short this one is.

    Only of a configuration from the command line: a supernet that `run=` names may have been stopped in its warm-up.
    """
    longest = max(cfg.recipe.epochs, cfg.budget.epochs or 0)
    if cfg.recipe.warmup_epochs >= longest > 0:
        raise UsageError(
            f"recipe.warmup_epochs={cfg.recipe.warmup_epochs:g} is not shorter than the run of {longest:g} epochs: "
            "use less, or 0 for none"
        )
