"""Builds a retraining from its configuration: whatever is wrong is refused here, before anything is written."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from timm.utils import ModelEmaV3
from torch import nn

from src.datasets.dataset import Dataset
from src.datasets.opening import open_dataset
from src.datasets.policy import add_policy
from src.runtime.devices import allow_tf32
from src.runtime.errors import UsageError
from src.runtime.lightning import make_trainer, quiet
from src.runtime.loggers import make_loggers
from src.runtime.resume import store
from src.runtime.run_folder import SPLIT, claim
from src.runtime.seeds import mix
from src.runtime.stored_run import read_checkpoint
from src.search_spaces.arch_option import read_arch
from src.search_spaces.space import SearchSpace
from src.standalone.extract import extract
from src.standalone.network import recalibrate
from src.standalone.retraining.drop_path import DropPaths, add_dropout
from src.standalone.retraining.erasing import make_erasing
from src.standalone.retraining.metrics import COLUMNS, StandaloneValidation
from src.standalone.retraining.module import Retraining
from src.standalone.retraining.optimizer import Schedule, make_optimizer, make_scheduler
from src.standalone.retraining.ranking_study import StudySettings, choose, run_study
from src.standalone.retraining.result import train_one
from src.standalone.retraining.run import StandaloneRun
from src.supernet.batch_norm import norms_of
from src.supernet.path import ArchPath
from src.training.budget import Budget, fitting_batch, plan_budget
from src.training.checkpoints import Checkpoints
from src.training.estimate import Estimate, Scoring
from src.training.metrics_writer import LogSchedule, MetricsWriter
from src.training.objective import MixedCrossEntropy
from src.training.trained_supernet import load_trained_supernet

ORDER, WEIGHTS, ERASING = 0, 2, 3
"""Streams of the run's seed."""
CALIBRATION_BATCH = 250
EMA_POWER = 0.75
"""After n steps the average forgets with 1 - (1 + n)^-0.75 if that is less than its decay: 0.9999 from step 215,000."""


def assemble(cfg: DictConfig, folder: Path) -> StandaloneRun:
    """Build everything a run needs, with the state of its checkpoint if it has one."""
    quiet()
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # the moving average is
    allow_tf32(cfg.tf32)

    # The architecture first: a wrong one is refused before data are read.
    space: SearchSpace = instantiate(cfg.search_space)
    path = read_arch(list(cfg.arch) if OmegaConf.is_list(cfg.arch) else cfg.arch, space, cfg.pick)
    dataset = open_dataset(cfg.dataset, split_of(cfg, folder))
    space.check_input(dataset.input_spec)

    # A recipe's epochs are rounded to the nearest step, since result files round them.
    batch_size = fitting_batch(cfg.batch_size, cfg.recipe.batch_size, dataset.size("train"))
    epoch_steps = max(dataset.size("train") // batch_size, 1)
    epochs = round(cfg.recipe.epochs * epoch_steps) / epoch_steps
    budget = plan_budget(dict(cfg.budget), epochs, epoch_steps, lambda steps: steps)
    add_recipe_policy(cfg, dataset)

    # Weights: a resumed run takes those of its checkpoint, whatever it began with.
    saved = read_checkpoint(folder, cfg.checkpoint, "retrain")
    net = network(cfg, dataset, space, path, inherits=saved is None and cfg.weights == "inherited")

    module = retraining_module(cfg, net, dataset, budget, batch_size)

    # Trainer, mini-batches, tables.
    trainer = make_trainer(
        {**OmegaConf.to_container(cfg.trainer, resolve=True), "gradient_clip_val": cfg.recipe.clip_norm},  # type: ignore[dict-item]
        loggers=make_loggers(cfg.logger, folder, logger_names(cfg), "retrain"),
        callbacks=[Checkpoints(folder, budget.steps, cfg.save_every)],
        folder=folder,
    )
    device = trainer.strategy.root_device
    run = StandaloneRun(
        cfg=cfg,
        folder=folder,
        dataset=dataset,
        space=space,
        path=path,
        budget=budget,
        module=module,
        loader=dataset.train_loader(batch_size, budget.steps, mix(cfg.seed, ORDER), device),
        trainer=trainer,
        writers=writers(cfg, folder, budget, module, dataset),
        batch_size=batch_size,
        checkpoint=cfg.checkpoint,
    )
    run.restore(saved)
    return run


def writers(cfg: DictConfig, folder: Path, budget: Budget, module: Retraining, dataset: Dataset) -> list[pl.Callback]:
    """The writer of metrics.csv, with validation, and of the time that is left."""
    validate, schedule = StandaloneValidation(module, dataset), LogSchedule(**cfg.journal)
    held_out = dataset.size("val")
    scoring = Scoring(schedule.validations, held_out, held_out + dataset.size("test"))
    return [MetricsWriter(folder, budget, schedule, COLUMNS, validate, "retrain"), Estimate(budget, lambda: scoring)]


def split_of(cfg: DictConfig, folder: Path) -> Path:
    """The stored split of this run, or before it has one that of its supernet, so that both are of the same images."""
    own = folder / SPLIT
    return own if own.exists() or cfg.run is None else Path(cfg.run) / SPLIT


def add_recipe_policy(cfg: DictConfig, dataset: Dataset) -> None:
    """Add the recipe's changes of colour and shape to the data set's augmentation.

    Raises:
        UsageError: the data set has such a policy of its own.
    """
    for key in ("auto_augment", "color_jitter"):
        if cfg.recipe[key] and cfg.dataset.get(key):
            raise UsageError(f"recipe.{key} and dataset.{key} are both set: set one of them to null or 0")
    add_policy(dataset, cfg.recipe.auto_augment, cfg.recipe.color_jitter)


def retraining_module(cfg: DictConfig, net: nn.Module, dataset: Dataset, budget: Budget, batch_size: int) -> Retraining:
    """The network under its recipe: schedule, optimizer, objective, moving average, stochastic depth, erasing."""
    recipe = cfg.recipe
    drop_paths = DropPaths(net, recipe.drop_path, recipe.drop_path_grows, budget.epoch_steps, budget.epochs)
    if recipe.drop_path and not len(drop_paths):
        print(f"recipe.drop_path={recipe.drop_path:g} does nothing: this network has no residual blocks to drop")
    settings: dict[str, Any] = OmegaConf.to_container(recipe, resolve=True)  # type: ignore[assignment]
    schedule = Schedule.of_recipe(settings, batch_size, budget, is_cut=any(dict(cfg.budget).values()))
    optimizer = partial(make_optimizer, settings, schedule.peak)
    optimizer(net)  # the Trainer makes it again on the training device; here its options are checked
    return Retraining(
        net,
        optimizer,
        make_scheduler(schedule),
        MixedCrossEntropy(recipe.label_smoothing),
        None if recipe.ema is None else ModelEmaV3(net, recipe.ema, use_warmup=True, warmup_power=EMA_POWER),
        drop_paths,
        make_erasing(recipe.erase, recipe.erase_mode, recipe.cutout, dataset.image_size),
        mix(cfg.seed, ERASING),
    )


def network(cfg: DictConfig, dataset: Dataset, space: SearchSpace, path: ArchPath, inherits: bool) -> nn.Module:
    """The path's network with fresh or inherited weights, and with the recipe's dropout and BN momentum."""
    torch.manual_seed(mix(cfg.seed, WEIGHTS))
    if not inherits:
        net: nn.Module = space.build_path(path, *dataset.input_spec)
    else:
        trained = load_trained_supernet(cfg.run, torch.device("cpu"), root=cfg.dataset.get("root"))
        net = extract(space, trained.net, path, dataset.input_spec)
        # The supernet's running statistics mix all paths: the path gets its own, unless they are asked for.
        if cfg.bn == "recalibrate" and all(norm.running_mean is not None for norm in norms_of([net])):
            batches = dataset.batches("train", CALIBRATION_BATCH, torch.device("cpu"), cfg.calibration_images)
            recalibrate(net, (batch.images for batch in batches))
    add_dropout(net, cfg.recipe.dropout)
    for norm in norms_of([net]):
        norm.momentum = cfg.recipe.bn_momentum or norm.momentum
    return net.train().to(memory_format=torch.channels_last if cfg.channels_last else torch.contiguous_format)


def logger_names(cfg: DictConfig) -> list[str]:
    """The tags by which loggers sort runs."""
    return [f"retrain_{cfg.choices.recipe}", cfg.choices.search_space, cfg.choices.dataset]


def study(cfg: DictConfig, folder: Path) -> None:
    """Run experiment=standalone_ranking: several paths of a supernet, each trained alone by the same configuration."""
    space: SearchSpace = instantiate(cfg.search_space)
    dataset = open_dataset(cfg.dataset, split_of(cfg, folder))
    settings = StudySettings(
        str(cfg.run), cfg.study.count, cfg.study.bn, cfg.study.scores, cfg.seed, cfg.choices.dataset
    )

    def train(path: str, model_folder: Path) -> None:
        alone = cfg.copy()
        alone.arch, alone.study = path, None
        train_one(assemble(alone, model_folder), shown=False)

    chosen = choose(settings, folder, space, dataset.input_spec)  # bad scores are refused before anything is stored
    with claim(folder):
        store(cfg, folder, "retrain")
        loggers = make_loggers(cfg.logger, folder, logger_names(cfg), "retrain")
        config: Any = OmegaConf.to_container(cfg, resolve=True)
        run_study(settings, folder, space, chosen, train, loggers, config)
