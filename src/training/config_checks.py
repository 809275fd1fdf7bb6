"""What is checked of a training configuration before anything heavy is imported."""

from __future__ import annotations

from omegaconf import DictConfig

from src.runtime.errors import UsageError, unknown
from src.runtime.run_folder import LISTED_PATHS, PROTOCOLS, RANK_BY
from src.runtime.validate import boolean, number, one_of, only

TRAINER = ("accelerator", "devices", "num_nodes", "precision", "deterministic", "benchmark")
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
INSTEAD = {
    "gradient_clip_val": (None, "step.clip_norm clips the gradients of an update"),
    "accumulate_grad_batches": (1, "the sampler's plan decides what is accumulated: sampler=strict_fair"),
    "max_steps": (None, "budget.steps counts supernet steps"),
    "max_epochs": (None, "budget.epochs sets them"),
}
STRATEGIES = ("ddp", "path_parallel")
WAYS = ("auto", "serial", "window", "compiled")
SCORING = ("paths", "bn", "images", "calibration_images", "batch_size")


def check_training(cfg: DictConfig) -> None:
    """Refuse values out of their range, each by a line that says what is right."""
    number(cfg, "seed", 0, 2**63 - 1, whole=True)
    number(cfg, "batch_size", 1, whole=True)
    number(cfg, "image_size", 1, whole=True, optional=True)
    number(cfg, "save_every", 0)
    boolean(cfg, "channels_last")
    if "tf32" in cfg:  # runs of earlier days have none
        boolean(cfg, "tf32")
    one_of(cfg, "checkpoint", ("last", "previous"))
    _check_budget(cfg)
    _check_step(cfg)
    _check_scoring(cfg)
    _check_trainer(cfg)


def _check_budget(cfg: DictConfig) -> None:
    only(cfg, "budget", ("epochs", "steps", "backward_passes"))
    number(cfg, "budget.epochs", 0, optional=True)
    number(cfg, "budget.steps", 1, whole=True, optional=True)
    number(cfg, "budget.backward_passes", 1, whole=True, optional=True)
    given = [f"budget.{kind}" for kind, value in cfg.budget.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} are set together: give one of them")


def _check_step(cfg: DictConfig) -> None:
    only(cfg, "step", ("way", "reduction", "unsampled", "clip_norm", "clip", "label_smoothing"))
    only(cfg, "schedule", ("final_lr", "warmup_epochs"))
    if "way" in cfg.step:  # runs of earlier days have none: they are serial
        one_of(cfg, "step.way", WAYS)
    one_of(cfg, "step.reduction", ("sum", "mean"))
    one_of(cfg, "step.unsampled", ("frozen", "drifting"))
    one_of(cfg, "step.clip", ("after", "before"))
    number(cfg, "step.clip_norm", 1e-12, optional=True)
    number(cfg, "step.label_smoothing", 0, 1)
    number(cfg, "optimizer.lr", 0)
    number(cfg, "optimizer.weight_decay", 0)
    number(cfg, "schedule.final_lr", 0)
    number(cfg, "schedule.warmup_epochs", 0)
    boolean(cfg, "norm_decay")


def _check_scoring(cfg: DictConfig) -> None:
    only(cfg, "journal", ("rows", "validations"))
    only(cfg, "validation", SCORING)
    only(cfg, "ranking", (*SCORING, "by", "seed"))
    number(cfg, "journal.rows", 1, whole=True)
    number(cfg, "journal.validations", 1, whole=True)
    number(cfg, "validation.paths", 1, whole=True)
    one_of(cfg, "validation.bn", PROTOCOLS)
    if "by" in cfg.ranking:  # not in runs from before the key
        one_of(cfg, "ranking.by", RANK_BY)
    number(cfg, "ranking.seed", 0, 2**63 - 1, whole=True)
    if not cfg.ranking.bn:
        raise UsageError(f"ranking.bn is empty: give one or several of {', '.join(PROTOCOLS)}")
    for protocol in cfg.ranking.bn if not isinstance(cfg.ranking.bn, str) else [cfg.ranking.bn]:
        if protocol not in PROTOCOLS:
            raise unknown("ranking.bn", protocol, PROTOCOLS)
    if cfg.ranking.paths != "all":
        number(cfg, "ranking.paths", 2, LISTED_PATHS, whole=True)
    for section in ("validation", "ranking"):
        number(cfg, f"{section}.images", 1, whole=True, optional=True)
        number(cfg, f"{section}.calibration_images", 1, whole=True)
        number(cfg, f"{section}.batch_size", 1, whole=True)


def _check_trainer(cfg: DictConfig) -> None:
    for key, (neutral, instead) in INSTEAD.items():
        if cfg.trainer.get(key, neutral) != neutral:
            raise UsageError(f"trainer.{key}={cfg.trainer[key]} is not used here: {instead}")
    only(cfg, "trainer", (*TRAINER, *INSTEAD))
    one_of(cfg, "trainer.precision", PRECISIONS)
    number(cfg, "trainer.devices", 1, 1024, whole=True)
    if "num_nodes" in cfg.trainer:
        number(cfg, "trainer.num_nodes", 1, 1024, whole=True)
    if "strategy" in cfg:
        one_of(cfg, "strategy", STRATEGIES)
        boolean(cfg, "sync_batchnorm")
    if cfg.trainer.devices * cfg.trainer.get("num_nodes", 1) > 1:
        _check_devices(cfg, cfg.trainer.devices * cfg.trainer.get("num_nodes", 1))
    if cfg.trainer.precision == "16-mixed" and cfg.step.clip_norm is not None:
        raise UsageError("step.clip_norm does not go with trainer.precision=16-mixed: use bf16-mixed or 32-true")


def _check_devices(cfg: DictConfig, devices: int) -> None:
    """What only one device can do."""
    if cfg.strategy == "path_parallel":
        if cfg.sync_batchnorm:
            raise UsageError("sync_batchnorm=true is for strategy=ddp: with path_parallel every device has all images")
        return
    if cfg.batch_size % devices:
        raise UsageError(f"batch_size={cfg.batch_size} cannot be divided among {devices} devices: use a multiple")
    if cfg.step.clip_norm is not None and cfg.step.clip == "before":
        raise UsageError("step.clip=before needs each path's gradient of all images: use strategy=path_parallel")
