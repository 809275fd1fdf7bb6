"""A training run put together from its configuration: everything that can be wrong is found here.

Nothing is written yet; src/training/loop.py carries the run through.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.benchmarks.benchmark import Benchmark
from src.benchmarks.build import known_benchmark
from src.datasets.dataset import Dataset, TrainLoader
from src.datasets.stream import ALL, DataShard
from src.runtime.checkpoint import AtomicCheckpointIO, Checkpoints, read_checkpoint
from src.runtime.devices import allow_tf32
from src.runtime.errors import UsageError
from src.runtime.lightning import checked_trainer, quiet
from src.runtime.loggers import make_loggers
from src.runtime.processes import is_first
from src.runtime.run_folder import RESULT
from src.runtime.seeds import mix
from src.samplers.sampler import Sampler
from src.search_spaces.space import SearchSpace
from src.supernet.batch_norm import synchronise
from src.supernet.bn_protocols import check_protocol
from src.supernet.inter_choice import InterChoice, split_weights
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet
from src.training.budget import Budget, cosine, plan_budget
from src.training.optimizer import make_optimizer
from src.training.step import StepSettings, SupernetStep
from src.training.strategy import OneReduction, make_parallelism
from src.training.window_memory import PROBE, fitting_way

ORDER, WEIGHTS = 0, 2  # streams of the run's seed, beside the sampler's


@dataclass
class Run:
    """The parts of one training run."""

    cfg: DictConfig
    folder: Path
    dataset: Dataset
    space: SearchSpace
    budget: Budget
    module: SupernetStep
    loader: TrainLoader
    trainer: pl.Trainer
    checkpoints: Checkpoints
    benchmark: Benchmark | None
    paths: list[ArchPath]
    """To be scored after training: all, or a fixed sample that is the same for every run on the space."""
    threads: int = field(default_factory=torch.get_num_threads)
    """CPU threads to compute with: those it was started with, since another number sums in another order."""
    threads_before: int = field(default_factory=torch.get_num_threads)
    """What `close` gives back to the next job of a sweep."""
    lock: IO[str] | None = None
    """Open while the folder is this process's own."""

    @property
    def device(self) -> torch.device:
        """Where the supernet is trained."""
        return self.trainer.strategy.root_device

    def is_finished(self) -> bool:
        """Trained for its whole budget, and concluded."""
        return self.module.steps >= self.budget.steps and (self.folder / RESULT).exists()


def assemble(cfg: DictConfig, folder: Path) -> Run:
    """Build everything a run needs, with the state of its checkpoint if it has one."""
    quiet()
    allow_tf32(cfg.get("tf32", True))
    torch.manual_seed(mix(cfg.seed, WEIGHTS))
    dataset: Dataset = instantiate(cfg.dataset)
    space: SearchSpace = instantiate(cfg.search_space)
    net, inter_choice = build_supernet(cfg, dataset, space)
    for protocol in {cfg.validation.bn, *ranked_protocols(cfg)}:
        check_protocol(net, protocol)
    sampler = partial(instantiate, cfg.sampler, sizes=space.sizes, seed=cfg.seed)
    budget = _budget(cfg, dataset, sampler())
    optimizer = partial(make_optimizer, cfg.optimizer, cfg.norm_decay, inter_choice.weight_decay)
    trainer, checkpoints = _trainer(cfg, folder, budget)
    module = SupernetStep(
        net,
        sampler(total_steps=budget.steps),
        _step_settings(cfg, net, dataset, space, trainer.strategy.root_device),
        optimizer,
        partial(_learning_rate, cfg, budget),
        inter_choice.split_step(budget.steps, budget.epoch_steps),
        make_parallelism(cfg.get("strategy", "ddp"), trainer),
    )
    if cfg.get("sync_batchnorm") and module.parallelism.images > 1:
        synchronise(net)
    optimizer(net)  # made again by the Trainer; here its options are checked
    benchmark = known_benchmark(cfg, dataset, space)
    shard = DataShard(trainer.global_rank, trainer.world_size) if module.parallelism.images > 1 else ALL
    loader = dataset.train_loader(
        cfg.batch_size, budget.steps, mix(cfg.seed, ORDER), trainer.strategy.root_device, shard
    )
    paths = _ranked_paths(cfg, space)
    run = Run(cfg, folder, dataset, space, budget, module, loader, trainer, checkpoints, benchmark, paths)
    _take_back(run)
    return run


def build_supernet(cfg: DictConfig, dataset: Dataset, space: SearchSpace) -> tuple[Supernet, InterChoice]:
    """A fresh supernet for the data set, with its inter-choice weights, in the configured memory format."""
    net = space.build(dataset.in_channels, dataset.num_classes, dataset.image_size)
    net = net.to(memory_format=torch.channels_last if cfg.channels_last else torch.contiguous_format)
    inter_choice: InterChoice = instantiate(cfg.inter_choice)
    inter_choice.attach(net, torch.zeros(2, dataset.in_channels, dataset.image_size, dataset.image_size))
    return net, inter_choice


def ranked_protocols(cfg: DictConfig) -> list[str]:
    """The protocols that paths are scored under after training."""
    return [cfg.ranking.bn] if isinstance(cfg.ranking.bn, str) else list(cfg.ranking.bn)


def _step_settings(
    cfg: DictConfig, net: Supernet, dataset: Dataset, space: SearchSpace, device: torch.device
) -> StepSettings:
    """The settings of the step; `auto` becomes the way that fits here, and the checkpoint remembers which."""
    settings: dict[str, Any] = OmegaConf.to_container(cfg.step, resolve=True)  # type: ignore[assignment]
    if settings.get("way") == "compiled" and (
        cfg.choices.inter_choice.startswith("split") or cfg.get("sync_batchnorm")
    ):
        raise UsageError(
            "step=compiled is one graph that stays: use step=window with inter_choice=split or sync_batchnorm"
        )
    if settings.get("way") == "auto":
        images = torch.zeros(PROBE, dataset.in_channels, dataset.image_size, dataset.image_size)
        settings["way"] = fitting_way(net, space.sizes, images, cfg.batch_size, device)
    return StepSettings(**settings)


def _ranked_paths(cfg: DictConfig, space: SearchSpace) -> list[ArchPath]:
    if cfg.ranking.paths == "all":
        return space.all_paths("ranking.paths=all")
    return space.sample_distinct(cfg.ranking.paths, torch.Generator().manual_seed(cfg.ranking.seed))


def _budget(cfg: DictConfig, dataset: Dataset, sampler: Sampler) -> Budget:
    epoch_steps = max(dataset.size("train") // cfg.batch_size, 1)
    return plan_budget(dict(cfg.budget), cfg.recipe.epochs, epoch_steps, sampler.passes_per_step)


def _learning_rate(cfg: DictConfig, budget: Budget, step: int) -> float:
    warmup = round(cfg.schedule.warmup_epochs * budget.epoch_steps)
    return cosine(step, budget.steps, cfg.optimizer.lr, cfg.schedule.final_lr, warmup)


def _trainer(cfg: DictConfig, folder: Path, budget: Budget) -> tuple[pl.Trainer, Checkpoints]:
    """A Trainer that leaves epochs, progress and checkpoints to us: all count in supernet steps."""
    checkpoints = Checkpoints(folder, budget.steps, cfg.save_every)
    settings: dict[str, Any] = dict(OmegaConf.to_container(cfg.trainer, resolve=True))  # type: ignore[arg-type]
    devices = settings["devices"] * settings.get("num_nodes", 1)
    names = [cfg.choices[key] for key in ("sampler", "search_space", "dataset")]
    trainer = checked_trainer(
        **settings,
        log_every_n_steps=1,
        max_epochs=1,
        min_epochs=0,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        strategy=OneReduction() if devices > 1 else "auto",
        logger=make_loggers(cfg.logger.wandb, folder, names) if is_first() else [],
        callbacks=[checkpoints],
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    return trainer, checkpoints


def _take_back(run: Run) -> None:
    """Load the state of a run that was started before."""
    run.module.loader_state = run.loader.state_dict
    saved = read_checkpoint(run.folder, run.cfg.checkpoint, "src.train")
    if saved is None:
        return
    run.threads = saved["fairpath"]["threads"]
    run.module.settings = replace(run.module.settings, way=saved["fairpath"].get("way", "serial"))
    if saved["fairpath"]["is_split"]:
        split_weights(run.module.net)
    run.module.load_state_dict(saved["state_dict"])
    run.module.on_load_checkpoint(saved)
    run.loader.load_state_dict(saved["fairpath"]["loader"])
