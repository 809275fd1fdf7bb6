"""What is checked of a training configuration before anything heavy is imported."""

from __future__ import annotations

from omegaconf import DictConfig

from src.errors import UsageError
from src.settings import boolean, number, one_of

PROTOCOLS = ("running", "batch", "adapt", "recalibrate")
REFUSED = {
    "gradient_clip_val": (None, "step.clip_norm clips the gradients of an update"),
    "accumulate_grad_batches": (1, "the sampler's plan decides what is accumulated: sampler=strict_fair"),
    "max_steps": (None, "use budget.steps, which counts supernet steps"),
    "max_epochs": (None, "use budget.epochs"),
}


def check_training(cfg: DictConfig) -> None:
    """Refuse values out of their range, each by a line that says what is right."""
    number(cfg, "seed", 0, 2**63 - 1, whole=True)
    number(cfg, "batch_size", 1, whole=True)
    number(cfg, "image_size", 1, whole=True)
    number(cfg, "save_every", 0)
    boolean(cfg, "channels_last")
    one_of(cfg, "checkpoint", ("last", "previous"))
    _check_budget(cfg)
    _check_step(cfg)
    _check_scoring(cfg)
    _check_trainer(cfg)


def _check_budget(cfg: DictConfig) -> None:
    number(cfg, "budget.epochs", 0)
    number(cfg, "budget.steps", 1, whole=True)
    number(cfg, "budget.backward_passes", 1, whole=True)
    given = [f"budget.{kind}" for kind, value in cfg.budget.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} are set together: give one of them")


def _check_step(cfg: DictConfig) -> None:
    one_of(cfg, "step.reduction", ("sum", "mean"))
    one_of(cfg, "step.unsampled", ("frozen", "drifting"))
    one_of(cfg, "step.clip", ("after", "before"))
    number(cfg, "step.clip_norm", 1e-12)
    number(cfg, "step.label_smoothing", 0, 1)
    number(cfg, "optimizer.lr", 0)
    number(cfg, "optimizer.weight_decay", 0)
    number(cfg, "schedule.final_lr", 0)
    number(cfg, "schedule.warmup_epochs", 0)
    boolean(cfg, "norm_decay")


def _check_scoring(cfg: DictConfig) -> None:
    number(cfg, "journal.rows", 1, whole=True)
    number(cfg, "journal.validations", 1, whole=True)
    number(cfg, "validation.paths", 1, whole=True)
    one_of(cfg, "validation.bn", PROTOCOLS)
    for protocol in cfg.ranking.bn if not isinstance(cfg.ranking.bn, str) else [cfg.ranking.bn]:
        if protocol not in PROTOCOLS:
            raise UsageError(f"ranking.bn={protocol}: the options are {', '.join(PROTOCOLS)}")
    if cfg.ranking.paths != "all":
        number(cfg, "ranking.paths", 1, whole=True)
    for section in ("validation", "ranking"):
        for key in ("images", "calibration_images", "batch_size"):
            number(cfg, f"{section}.{key}", 1, whole=True)


def _check_trainer(cfg: DictConfig) -> None:
    for key, (neutral, instead) in REFUSED.items():
        if cfg.trainer.get(key, neutral) != neutral:
            raise UsageError(f"trainer.{key}={cfg.trainer[key]} is not used here: {instead}")
    if cfg.trainer.get("devices", 1) not in (1, "1"):
        raise UsageError(f"trainer.devices={cfg.trainer.devices}: a run trains on 1 device")
