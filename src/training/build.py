"""Builds a training run from its configuration: whatever is wrong is refused here, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.benchmarks.benchmark import Benchmark
from src.benchmarks.build import known_benchmark
from src.benchmarks.sample import paths_to_score
from src.datasets.dataset import Dataset
from src.datasets.opening import make_orders, open_dataset
from src.datasets.stream import ALL, DataShard
from src.runtime.devices import allow_tf32
from src.runtime.errors import UsageError
from src.runtime.lightning import make_trainer, quiet
from src.runtime.loggers import make_loggers
from src.runtime.processes import is_first
from src.runtime.run_folder import METRIC_COLUMNS, SPLIT
from src.runtime.seeds import mix
from src.runtime.stored_run import read_checkpoint
from src.samplers.sampler import PlannedRun, Sampler
from src.search_spaces.space import SearchSpace
from src.supernet.batch_norm import synchronise
from src.supernet.bn_protocols import check_protocol
from src.supernet.evaluator import Evaluator, ScoringSettings
from src.supernet.inter_choice import InterChoice, split_weights
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet
from src.supernet.tied import are_tied
from src.training.budget import Budget, cosine, fitting_batch, plan_budget
from src.training.checkpoints import Checkpoints
from src.training.config_checks import check_masked
from src.training.estimate import Estimate, planned_scoring, scored_images
from src.training.gradient_variance import COLUMNS
from src.training.importance_writer import ImportanceWriter
from src.training.metrics_writer import CountsWriter, LogSchedule, MetricsWriter, record_validation
from src.training.optimizer import make_optimizer
from src.training.run import Run
from src.training.run_state import STATE
from src.training.settled_order import SettledOrder
from src.training.step import ARCHITECTURE_COLUMNS, SupernetStep
from src.training.step_settings import StepSchedule, StepSettings
from src.training.strategy import OneReduction, make_parallelism
from src.training.validation import SupernetValidation
from src.training.window_memory import PROBE, fitting_way

ORDER, WEIGHTS, SEARCH = 0, 2, 4  # streams of the run's seed, beside the sampler's
ENDLESS = 2**62  # steps of a loader that ends with the run
VALIDATION = 3
"""Seed of the fixed validation paths: the same for every sampler and seed, so that curves can be compared."""


@dataclass(kw_only=True)
class SupernetRun(Run):
    """The training of a supernet, and what its paths are ranked against afterwards."""

    module: SupernetStep
    benchmark: Benchmark | None
    paths: list[ArchPath]
    """To be scored after training: all, or a fixed sample that is the same for every run on the space."""


def assemble(cfg: DictConfig, folder: Path) -> SupernetRun:
    """Build everything a run needs, with the state of its checkpoint if it has one.

    In this order: seed, weights, the split of a supernet saved split, optimizer, the checkpoint's state.
    """
    quiet()
    allow_tf32(cfg.tf32)
    # Data, space and a fresh supernet.
    torch.manual_seed(mix(cfg.seed, WEIGHTS))
    dataset = open_dataset(cfg.dataset, folder / SPLIT)
    space: SearchSpace = instantiate(cfg.search_space)
    net, inter_choice = build_supernet(cfg, dataset, space)
    # The plan of each step, and the number of steps; samplers with a schedule need to know it.
    sampler: Sampler = instantiate(cfg.sampler, sizes=space.sizes, seed=cfg.seed)
    labels, halved = dataset.labels_of("train"), sampler.architecture is not None
    if halved and cfg.trainer.precision == "16-mixed":
        raise UsageError("trainer.precision=16-mixed scales one loss: train logits under bf16-mixed or 32-true")
    images = len(labels) // (1 + halved)
    batch_size = fitting_batch(cfg.batch_size, cfg.recipe.batch_size, images, devices_of(cfg))
    budget = plan_budget(dict(cfg.budget), cfg.recipe.epochs, max(images // batch_size, 1), sampler.passes_in)
    sampler.prepare(space, net, PlannedRun(budget.steps, budget.epochs, dataset.input_spec))
    orders = make_orders(cfg.order, cfg.choices.order, labels, mix(cfg.seed, ORDER), budget.epochs, halved)
    # The module, with the settings of the checkpoint that the run resumes from.
    trainer, saved = supernet_trainer(cfg, folder, budget), read_checkpoint(folder, cfg.checkpoint, "train")
    device = trainer.strategy.root_device
    settings = step_settings(cfg, net, dataset, sampler, device, batch_size)
    module = supernet_module(cfg, net, inter_choice, sampler, settings, saved, budget, trainer)
    module.add_observer(orders[0])
    # Mini-batches, tables, the ranking to come.
    benchmark = known_benchmark(cfg, dataset, space)
    paths = paths_to_score(cfg.ranking.paths, space, benchmark, cfg.ranking.seed, "ranking.paths")
    shard = DataShard(trainer.global_rank, trainer.world_size) if module.parallelism.images > 1 else ALL
    load = partial(dataset.train_loader, batch_size, device=device, shard=shard)
    module.search_loader = load(ENDLESS, mix(cfg.seed, SEARCH), order=orders[1]) if orders[1] else None
    run = SupernetRun(
        cfg=cfg,
        folder=folder,
        dataset=dataset,
        space=space,
        budget=budget,
        module=module,
        loader=load(budget.steps, mix(cfg.seed, ORDER), order=orders[0]),
        trainer=trainer,
        writers=writers(cfg, folder, budget, module, dataset, space, device, paths),
        benchmark=benchmark,
        checkpoint=cfg.checkpoint,
        paths=paths,
    )
    run.restore(saved)
    return run


def supernet_trainer(cfg: DictConfig, folder: Path, budget: Budget) -> pl.Trainer:
    """The Trainer with its checkpoints, its loggers (of the first process) and, on several devices, our strategy."""
    devices = devices_of(cfg)
    names = [cfg.choices[key] for key in ("sampler", "search_space", "dataset")]
    return make_trainer(
        OmegaConf.to_container(cfg.trainer, resolve=True),
        loggers=make_loggers(cfg.logger, folder, names, "train") if is_first() else [],
        callbacks=[Checkpoints(folder, budget.steps, cfg.save_every)],
        folder=folder,
        strategy=OneReduction() if devices > 1 else "auto",
    )


def devices_of(cfg: DictConfig) -> int:
    """Devices over all machines."""
    return int(cfg.trainer.devices * cfg.trainer.get("num_nodes", 1))


def supernet_module(
    cfg: DictConfig,
    net: Supernet,
    inter_choice: InterChoice,
    sampler: Sampler,
    settings: StepSettings,
    saved: dict[str, Any] | None,
    budget: Budget,
    trainer: pl.Trainer,
) -> SupernetStep:
    """The training step; `saved` is the checkpoint that the run resumes from."""
    parallelism = make_parallelism(cfg.strategy, trainer)
    if cfg.sync_batchnorm and parallelism.images > 1:
        synchronise(net)
    # A checkpoint remembers what `auto` came to: another way would sum in another order.
    if saved is not None:
        settings = replace(settings, way=saved[STATE]["way"])
        if saved[STATE]["is_split"]:
            split_weights(net)
    optimizer = make_optimizer(cfg.optimizer, cfg.norm_decay, inter_choice.weight_decay, net)
    learning_rate = partial(
        cosine,
        steps=budget.steps,
        peak=cfg.optimizer.lr,
        final=cfg.schedule.final_lr,
        warmup=round(cfg.schedule.warmup_epochs * budget.epoch_steps),
    )
    split_step = inter_choice.split_step(budget.steps, budget.epoch_steps)
    schedule = StepSchedule(learning_rate, split_step, budget.epoch_steps)
    module = SupernetStep(net, sampler, settings, lambda _: optimizer, schedule, parallelism)
    module.order = SettledOrder(cfg.ranking.by, **cfg.stable) if cfg.stop == "stable" else None
    return module


def build_supernet(cfg: DictConfig, dataset: Dataset, space: SearchSpace) -> tuple[Supernet, InterChoice]:
    """A fresh supernet for the data set, with its inter-choice weights, in the configured memory format.

    Raises:
        UsageError: a BN protocol that cannot score it.
    """
    net = space.build(*dataset.input_spec)
    net = net.to(memory_format=torch.channels_last if cfg.channels_last else torch.contiguous_format)
    for protocol in {cfg.validation.bn, *ranked_protocols(cfg)}:
        check_protocol(net, protocol)
    inter_choice: InterChoice = instantiate(cfg.inter_choice)
    inter_choice.attach(net, torch.zeros(2, dataset.in_channels, dataset.image_size, dataset.image_size))
    return net, inter_choice


def ranked_protocols(cfg: DictConfig) -> list[str]:
    """The BN protocols that paths are scored under after training."""
    return [cfg.ranking.bn] if isinstance(cfg.ranking.bn, str) else list(cfg.ranking.bn)


def step_settings(
    cfg: DictConfig, net: Supernet, dataset: Dataset, sampler: Sampler, device: torch.device, batch_size: int
) -> StepSettings:
    """The settings of the step; `auto` becomes the way that fits into this device's memory."""
    settings: dict[str, Any] = OmegaConf.to_container(cfg.step, resolve=True)  # type: ignore[assignment]
    if net.is_masked:
        check_masked(cfg, sampler.takes_masks)
        settings["way"] = "serial"  # networks of different widths have no layer in common
    other_graphs = cfg.choices.inter_choice.startswith("split") or cfg.sync_batchnorm or are_tied(net)
    if settings["way"] == "compiled" and other_graphs:
        unfit = "inter_choice=split, sync_batchnorm or search_space.share"
        raise UsageError(f"step=compiled is one graph that stays, each operation once: use step=window with {unfit}")
    if settings["way"] == "auto":
        images = torch.zeros(PROBE, dataset.in_channels, dataset.image_size, dataset.image_size)
        settings["way"] = fitting_way(net, sampler.sizes, images, batch_size, device, sampler.passes_per_step)
    return StepSettings(**settings, noise_seed=cfg.seed, ema=cfg.ema, gradient_variance=cfg.gradient_variance)


def writers(
    cfg: DictConfig,
    folder: Path,
    budget: Budget,
    module: SupernetStep,
    dataset: Dataset,
    space: SearchSpace,
    device: torch.device,
    ranked: Sequence[ArchPath],
) -> list[pl.Callback]:
    """The writers of metrics.csv, with the one-shot validation of a fixed set of paths, of counts.csv, and of the time.

    `ranked`: the paths that will be scored after training.
    """
    images = {key: cfg.validation[key] for key in ("images", "calibration_images", "batch_size")}
    settings = ScoringSettings(**images, temperature=cfg.ranking.temperature)
    evaluator = Evaluator(module.net, dataset, device, cfg.validation.bn, settings)
    paths = space.sample_distinct(cfg.validation.paths, torch.Generator().manual_seed(VALIDATION))
    # images that a validation and the ranking score a path on, for the estimate of their time
    each, at_the_end = (
        scored_images(dataset, section.images, section.calibration_images, protocols)
        for section, protocols in ((cfg.validation, [cfg.validation.bn]), (cfg.ranking, ranked_protocols(cfg)))
    )
    costs = partial(space.additive_costs, dataset.input_spec)
    planned = partial(
        planned_scoring, cfg.journal.validations, each * len(paths), at_the_end, module.net, ranked, costs
    )
    record = partial(record_validation, folder, module, space)
    validate = SupernetValidation(evaluator, paths, module, record)
    columns = METRIC_COLUMNS + (COLUMNS if cfg.gradient_variance else ())
    columns += ARCHITECTURE_COLUMNS if module.architecture is not None else ()
    return [
        MetricsWriter(folder, budget, LogSchedule(**cfg.journal), columns, validate),
        CountsWriter(folder, budget),
        ImportanceWriter(folder, dataset.labels_of("train")),
        Estimate(budget, planned),
    ]
