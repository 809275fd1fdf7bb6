"""What is checked of a retraining's configuration before anything heavy is imported."""

from __future__ import annotations

from omegaconf import DictConfig

from src.runtime.errors import UsageError
from src.runtime.run_folder import PROTOCOLS
from src.runtime.validate import boolean, number, one_of, only
from src.training.config_checks import PRECISIONS, TRAINER

RECIPE = (
    *("epochs", "batch_size", "lr", "lr_batch", "final_lr", "momentum", "weight_decay", "norm_decay", "warmup_epochs"),
    *("warmup_lr", "label_smoothing", "optimizer", "optimizer_options", "schedule", "decay_epochs", "decay_rate"),
    *("clip_norm", "ema", "dropout", "drop_path", "drop_path_grows", "bn_momentum"),
    *("auto_augment", "color_jitter", "erase", "erase_mode", "cutout", "rank_by"),
)
INSTEAD = {
    "gradient_clip_val": (None, "recipe.clip_norm clips the gradients"),
    "accumulate_grad_batches": (1, "recipe.lr_batch scales the learning rate to a smaller batch"),
    "max_steps": (None, "budget.steps counts steps"),
    "max_epochs": (None, "budget.epochs sets them"),
}


def check_retraining(cfg: DictConfig) -> None:
    """Refuse values out of their range, each by a line that says what is right."""
    _check_source(cfg)
    number(cfg, "seed", 0, 2**63 - 1, whole=True)
    number(cfg, "batch_size", 1, whole=True)
    number(cfg, "image_size", 1, whole=True, optional=True)
    number(cfg, "calibration_images", 1, whole=True)
    number(cfg, "save_every", 0)
    boolean(cfg, "channels_last")
    boolean(cfg, "tf32")
    one_of(cfg, "checkpoint", ("last", "previous"))
    only(cfg, "journal", ("rows", "validations"))
    number(cfg, "journal.rows", 1, whole=True)
    number(cfg, "journal.validations", 1, whole=True)
    _check_budget(cfg)
    _check_trainer(cfg)
    _check_optimization(cfg)
    _check_regularisation(cfg)


def check_warmup(cfg: DictConfig) -> None:
    """Refuse a warm-up that a whole run would never leave, however short this one is.

    Of the configuration as it is given: a supernet that was itself cut short may have had its warm-up alone.
    """
    longest = max(cfg.recipe.epochs, cfg.budget.epochs or 0)
    if cfg.recipe.warmup_epochs >= longest > 0:
        raise UsageError(
            f"recipe.warmup_epochs={cfg.recipe.warmup_epochs:g} is not shorter than the run of {longest:g} epochs: "
            "use less, or 0 for none"
        )


def _check_source(cfg: DictConfig) -> None:
    """Which network, and where its weights come from."""
    one_of(cfg, "weights", ("scratch", "inherited"))
    one_of(cfg, "bn", ("recalibrate", "running"))
    number(cfg, "pick", 0, whole=True, optional=True)
    if not isinstance(cfg.run, str | None):
        raise UsageError(f"run={cfg.run}: give the folder of a training run")
    if cfg.weights == "inherited" and cfg.run is None:
        raise UsageError("weights=inherited needs run=<folder of a supernet's training run> to inherit from")
    if cfg.study is not None:
        _check_study(cfg)
    elif cfg.arch is None:
        raise UsageError("arch=<architecture> is missing: a published name, a path like 2-0-2, or a file of them")


def _check_study(cfg: DictConfig) -> None:
    only(cfg, "study", ("count", "bn", "scores"))
    number(cfg, "study.count", 2, 1000, whole=True)
    one_of(cfg, "study.bn", PROTOCOLS)
    if cfg.run is None:
        raise UsageError("experiment=standalone_ranking needs run=<folder of a supernet's training run>")
    if cfg.arch is not None:
        raise UsageError(
            f"arch={cfg.arch} does not go with experiment=standalone_ranking, which picks study.count paths"
        )


def _check_budget(cfg: DictConfig) -> None:
    only(cfg, "budget", ("epochs", "steps"))
    number(cfg, "budget.epochs", 0, optional=True)
    number(cfg, "budget.steps", 1, whole=True, optional=True)
    if cfg.budget.epochs is not None and cfg.budget.steps is not None:
        raise UsageError("budget.epochs and budget.steps are set together: give one of them")


def _check_trainer(cfg: DictConfig) -> None:
    for key, (neutral, instead) in INSTEAD.items():
        if cfg.trainer.get(key, neutral) != neutral:
            raise UsageError(f"trainer.{key}={cfg.trainer[key]} is not used here: {instead}")
    only(cfg, "trainer", (*TRAINER, *INSTEAD))
    one_of(cfg, "trainer.precision", PRECISIONS)
    for key in ("devices", "num_nodes"):
        if cfg.trainer.get(key, 1) != 1:
            raise UsageError(
                f"trainer.{key}={cfg.trainer[key]}: one network is trained on one device; several networks side by "
                "side: a sweep (-m arch=...) with hydra/launcher=joblib"
            )


def _check_optimization(cfg: DictConfig) -> None:
    only(cfg, "recipe", RECIPE)
    number(cfg, "recipe.epochs", 0)
    for key in ("lr", "final_lr", "weight_decay", "warmup_epochs"):
        number(cfg, f"recipe.{key}", 0)
    number(cfg, "recipe.momentum", 0, 1)
    number(cfg, "recipe.label_smoothing", 0, 0.999)
    number(cfg, "recipe.lr_batch", 1, whole=True, optional=True)
    number(cfg, "recipe.warmup_lr", 0, optional=True)
    number(cfg, "recipe.clip_norm", 1e-12, optional=True)
    boolean(cfg, "recipe.norm_decay")
    one_of(cfg, "recipe.schedule", ("cosine", "step"))
    if cfg.recipe.schedule == "step":
        number(cfg, "recipe.decay_epochs", 1e-9)
        number(cfg, "recipe.decay_rate", 1e-9, 1)


def _check_regularisation(cfg: DictConfig) -> None:
    number(cfg, "recipe.ema", 0, 0.999999, optional=True)
    for key in ("dropout", "drop_path"):
        number(cfg, f"recipe.{key}", 0, 0.99)
    one_of(cfg, "recipe.drop_path_grows", ("depth", "epochs"))
    number(cfg, "recipe.bn_momentum", 1e-9, 1, optional=True)
    number(cfg, "recipe.color_jitter", 0)
    number(cfg, "recipe.erase", 0, 1)
    one_of(cfg, "recipe.erase_mode", ("pixel", "const"))
    number(cfg, "recipe.cutout", 1, whole=True, optional=True)
