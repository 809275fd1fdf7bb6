"""A retraining put together from its configuration: everything that can be wrong is found here.

Nothing is written yet; src/standalone/retraining/run.py carries it through.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from timm.utils import ModelEmaV3
from torch import nn

from src.datasets.dataset import Dataset, TrainLoader
from src.datasets.input_spec import InputSpec
from src.datasets.policy import add_policy
from src.runtime.checkpoint import AtomicCheckpointIO, Checkpoints, read_checkpoint
from src.runtime.devices import allow_tf32
from src.runtime.errors import UsageError
from src.runtime.lightning import checked_trainer, quiet
from src.runtime.loggers import make_loggers
from src.runtime.run_folder import RESULT, SPLIT
from src.runtime.seeds import mix
from src.search_spaces.arch_option import read_arch
from src.search_spaces.space import SearchSpace
from src.standalone.extract import extract
from src.standalone.network import recalibrate
from src.standalone.retraining.drop_path import DropPaths, add_dropout
from src.standalone.retraining.erasing import make_erasing
from src.standalone.retraining.module import Retraining
from src.standalone.retraining.optimizer import make_optimizer, make_scheduler
from src.supernet.batch_norm import norms_of
from src.supernet.path import ArchPath
from src.training.budget import Budget, plan_budget
from src.training.trained_supernet import load_trained_supernet

ORDER, WEIGHTS, ERASING = 0, 2, 3
"""Streams of the run's seed."""
CALIBRATION_BATCH = 250
EMA_POWER = 0.75
"""After n steps the average forgets with 1 - (1 + n)^-0.75 if that is less than its decay: 0.9999 from step 215,000."""


@dataclass
class Run:
    """The parts of one retraining."""

    cfg: DictConfig
    folder: Path
    dataset: Dataset
    space: SearchSpace
    path: ArchPath
    budget: Budget
    module: Retraining
    loader: TrainLoader
    trainer: pl.Trainer
    threads: int = field(default_factory=torch.get_num_threads)
    """CPU threads to compute with: those it was started with, since another number sums in another order."""
    threads_before: int = field(default_factory=torch.get_num_threads)
    """What `close` gives back to the next job of a sweep."""
    lock: IO[str] | None = None
    """Open while the folder is this process's own."""

    @property
    def device(self) -> torch.device:
        """Where the network is trained."""
        return self.trainer.strategy.root_device

    @property
    def input_spec(self) -> InputSpec:
        """The input that the network is built for."""
        return input_of(self.dataset)

    def is_finished(self) -> bool:
        """Trained for its whole budget, and concluded."""
        return self.module.steps >= self.budget.steps and (self.folder / RESULT).exists()


def assemble(cfg: DictConfig, folder: Path) -> Run:
    """Build everything a run needs, with the state of its checkpoint if it has one."""
    quiet()
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # the moving average is
    allow_tf32(cfg.tf32)
    space: SearchSpace = instantiate(cfg.search_space)
    path = read_arch(list(cfg.arch) if OmegaConf.is_list(cfg.arch) else cfg.arch, space, cfg.pick)
    dataset: Dataset = instantiate(cfg.dataset)
    space.check_input(input_of(dataset))
    budget = _budget(cfg, dataset)
    _add_policy(cfg, dataset)
    saved = read_checkpoint(folder, cfg.checkpoint, "src.retrain")
    if saved is None and cfg.run is not None:
        dataset.check_split(Path(cfg.run) / SPLIT)
    net = _network(cfg, dataset, space, path, inherits=saved is None and cfg.weights == "inherited")
    module = _module(cfg, net, dataset, budget)
    trainer = _trainer(cfg, folder, budget)
    loader = dataset.train_loader(cfg.batch_size, budget.steps, mix(cfg.seed, ORDER), trainer.strategy.root_device)
    run = Run(cfg, folder, dataset, space, path, budget, module, loader, trainer)
    _take_back(run, saved)
    return run


def input_of(dataset: Dataset) -> InputSpec:
    """What networks of a data set read and tell apart."""
    return dataset.input_spec


def _budget(cfg: DictConfig, dataset: Dataset) -> Budget:
    """A recipe's epochs come to the nearest step, since result files round them."""
    epoch_steps = max(dataset.size("train") // cfg.batch_size, 1)
    return plan_budget(dict(cfg.budget), round(cfg.recipe.epochs * epoch_steps) / epoch_steps, epoch_steps, 1)


def _add_policy(cfg: DictConfig, dataset: Dataset) -> None:
    """The recipe's changes of colour and shape; the data set may have its own, and both would be one too many."""
    for key in ("auto_augment", "color_jitter"):
        if cfg.recipe[key] and cfg.dataset.get(key):
            raise UsageError(f"recipe.{key} and dataset.{key} are both set: set one of them to null or 0")
    add_policy(dataset, cfg.recipe.auto_augment, cfg.recipe.color_jitter)


def _network(cfg: DictConfig, dataset: Dataset, space: SearchSpace, path: ArchPath, inherits: bool) -> nn.Module:
    """The path's network with fresh or inherited weights, and what the recipe does to its layers."""
    torch.manual_seed(mix(cfg.seed, WEIGHTS))
    net = _inherited(cfg, dataset, space, path) if inherits else space.build_path(path, *input_of(dataset))
    add_dropout(net, cfg.recipe.dropout)
    for norm in norms_of([net]):
        norm.momentum = cfg.recipe.bn_momentum or norm.momentum
    return net.train().to(memory_format=torch.channels_last if cfg.channels_last else torch.contiguous_format)


def _inherited(cfg: DictConfig, dataset: Dataset, space: SearchSpace, path: ArchPath) -> nn.Module:
    """Cut out of the supernet; unless its running statistics, which mix all paths, are wanted, with the path's own."""
    trained = load_trained_supernet(cfg.run, torch.device("cpu"))
    net = extract(space, trained.net, path, input_of(dataset))
    if cfg.bn == "recalibrate" and all(norm.running_mean is not None for norm in norms_of([net])):
        batches = dataset.batches("train", CALIBRATION_BATCH, torch.device("cpu"), cfg.calibration_images)
        recalibrate(net, (batch.images for batch in batches))
    return net


def _module(cfg: DictConfig, net: nn.Module, dataset: Dataset, budget: Budget) -> Retraining:
    recipe = cfg.recipe
    drop_paths = DropPaths(net, recipe.drop_path, recipe.drop_path_grows, budget.epoch_steps, budget.epochs)
    if recipe.drop_path and not len(drop_paths):
        print(f"recipe.drop_path={recipe.drop_path:g} does nothing: this network has no residual blocks to drop")
    ema = None if recipe.ema is None else ModelEmaV3(net, recipe.ema, use_warmup=True, warmup_power=EMA_POWER)
    optimizer = partial(make_optimizer, cfg)
    optimizer(net)  # made again by the Trainer; here its options are checked
    return Retraining(
        net,
        optimizer,
        make_scheduler(cfg, budget),
        recipe.label_smoothing,
        ema,
        drop_paths,
        make_erasing(recipe.erase, recipe.erase_mode, recipe.cutout, dataset.image_size),
        mix(cfg.seed, ERASING),
    )


def names_of(cfg: DictConfig) -> list[str]:
    """What loggers sort runs by."""
    return [f"retrain_{cfg.choices.recipe}", cfg.choices.search_space, cfg.choices.dataset]


def _trainer(cfg: DictConfig, folder: Path, budget: Budget) -> pl.Trainer:
    """A Trainer that clips as the recipe says, and leaves epochs, progress and checkpoints to us."""
    settings: dict[str, Any] = dict(OmegaConf.to_container(cfg.trainer, resolve=True))  # type: ignore[arg-type]
    settings["gradient_clip_val"] = cfg.recipe.clip_norm
    return checked_trainer(
        **settings,
        log_every_n_steps=1,
        max_epochs=1,
        min_epochs=0,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=make_loggers(cfg.logger.wandb, folder, names_of(cfg)),
        callbacks=[Checkpoints(folder, budget.steps, cfg.save_every)],
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _take_back(run: Run, saved: dict[str, Any] | None) -> None:
    """Load the state of a run that was started before."""
    run.module.loader_state = run.loader.state_dict
    if saved is None:
        return
    run.threads = saved["fairpath"]["threads"]
    run.module.load_state_dict(saved["state_dict"])
    run.module.on_load_checkpoint(saved)
    run.loader.load_state_dict(saved["fairpath"]["loader"])
