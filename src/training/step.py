"""The supernet step: a sampler's plan carried out on one mini-batch, under manual optimization.

B images, L layers, m choices of a layer, R routes of an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from src.datasets.dataset import Batch
from src.datasets.loader import StreamLoader
from src.samplers.observation import GRADIENT_NORMS, IMAGES, Observation, Observer
from src.samplers.plan import ARCHITECTURE, SEARCH, WEIGHTS, Update
from src.samplers.sampler import Sampler
from src.supernet.batch_norm import set_ghost_batch
from src.supernet.dependences import tables
from src.supernet.inter_choice import is_split, split_weights
from src.supernet.path import format_route
from src.supernet.supernet import Supernet
from src.training import gradients
from src.training.counts import Counts
from src.training.gradient_noise import GradientNoise
from src.training.gradient_variance import CLIPPED, RAW, GradientVariance
from src.training.image_meter import VALUES, ImageMeter
from src.training.meters import Meters
from src.training.objective import CrossEntropy
from src.training.optimizer import extend
from src.training.parallel import Parallelism, UpdateStatistics
from src.training.parameter_set import ParameterSet
from src.training.route_passes import RoutePasses
from src.training.run_state import RunState
from src.training.step_settings import StepSchedule, StepSettings
from src.training.unsampled import frozen_parts
from src.training.weight_average import WeightAverage

ARCHITECTURE_COLUMNS = ("architecture/loss", "architecture/accuracy", "architecture/entropy")
"""Of metrics.csv, where a sampler has logits: of their updates since the last row; mean entropy of a decision, nats."""


class SupernetStep(RunState):
    """Trains a supernet. It knows no sampler by name: a variant of training is a value, the plan.

    One step, top to bottom: plan -> backward -> reduce -> optimizer step -> observe (`training_step`).
    """

    net: Supernet
    command = "train"
    remedy = "lower optimizer.lr, or set step.clip_norm"

    def __init__(
        self,
        net: Supernet,
        sampler: Sampler,
        settings: StepSettings,
        optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        schedule: StepSchedule,
        parallelism: Parallelism | None = None,
    ) -> None:
        """`net(images, route)` gives logits.

        `parallelism` says which part of an update this process computes; None: all of it. The sampler is the first
        observer of every update.
        """
        super().__init__(net)
        self.automatic_optimization = False
        self.sampler, self.settings = sampler, settings
        self.make_optimizer, self.schedule = optimizer, schedule
        self.observers: tuple[Observer, ...] = (sampler,)
        self.wants = sampler.wants
        self.image_meter = ImageMeter()
        self.variance = GradientVariance(net, settings.reduction == "sum") if settings.gradient_variance else None
        self.add_observer(self.variance)
        self.noise = GradientNoise(net, settings.gradient_noise, settings.noise_seed)
        self.average = WeightAverage(net, settings.ema)
        self.passes = RoutePasses(net, sampler, settings, CrossEntropy(settings.label_smoothing))
        self.parallelism = parallelism or Parallelism()
        self.stop_agreed = False
        """Whether all processes know of one that received a signal."""
        self.architecture = sampler.architecture  # beside the net in checkpoints, never inside it
        self.search_loader: StreamLoader[Batch] | None = None
        """Mini-batches of the half of the training part kept for the architecture; set when the run is built."""
        self.search_batches: Iterator[Batch] | None = None
        self.search_meters = Meters()
        self.tables = tables(net)
        self.counts = Counts(sampler.sizes, net.op_ids)
        set_ghost_batch(net, sampler.ghost_batch)

    def add_observer(self, candidate: object) -> None:
        """Tell this one of every update too, after the others, if it is an Observer: most orders are not."""
        if isinstance(candidate, Observer):
            self.observers = (*self.observers, candidate)
            self.wants |= candidate.wants

    @property
    def stopping(self) -> bool:
        """Whether the run ends after this step: all processes must agree, or some would wait for the others."""
        return self.stop_agreed if self.parallelism.size > 1 else self.stop.asked

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimizer of the whole supernet, and that of the architecture if the sampler has one."""
        weights = ParameterSet(self.net, self.make_optimizer(self.net), self.schedule.learning_rate)
        self.sets = {WEIGHTS: weights}
        if self.architecture is not None:
            optimizer, factor = self.sampler.architecture_optimizer(), self.sampler.architecture_schedule
            initial = float(optimizer.param_groups[0]["lr"])
            self.sets[ARCHITECTURE] = ParameterSet(
                self.architecture, optimizer, lambda step: initial * factor(step), self.sampler.architecture_clip_norm
            )
        return [each.optimizer for each in self.sets.values()]

    def training_step(self, batch: Batch, _: int) -> None:
        """One supernet step: the updates of the plan in order, each with an optimizer step of its own."""
        # Inter-choice weights: at the split the optimizer is extended in place.
        split_step = self.schedule.split_step
        if split_step is not None and self.steps >= split_step and not is_split(self.net):
            extend(self.sets[WEIGHTS].optimizer, split_weights(self.net))
        plan = self.sampler.plan()
        last = max((number for number, update in enumerate(plan) if update.trains == WEIGHTS), default=-1)
        for number, update in enumerate(plan):
            trained = self.sets[update.trains]
            images = self.next_search_batch() if update.data == SEARCH else batch
            # None, not zero: the optimizer then leaves choices off the routes alone.
            trained.module.zero_grad(set_to_none=True)
            self.parallelism.begin(trained.module)
            # Gradients of all routes add up in .grad.
            groups = self.passes.grouped(update, self.parallelism.mine(update.routes))
            wants_images = IMAGES in self.wants
            parts = [self.passes.run(images, update, part, self.manual_backward, wants_images) for part in groups]
            own = UpdateStatistics.joined(parts, images.images, VALUES * wants_images)
            whole = self.reduce(images, update, own)
            if update.trains == ARCHITECTURE:
                trained.update(self.steps, update.lr_scale)
                continue
            self.noise.add(update.routes)
            observation = self.observation(update, whole, is_last=number == last)
            gradients.scale(self.net, update.op_scales or ())
            self.optimizer_update(update.lr_scale, observation)
            self.observe(images, observation, whole.images)
        self.steps += 1

    def next_search_batch(self) -> Batch:
        """The next mini-batch of the half of the training part kept for the architecture."""
        if self.search_batches is None:
            assert self.search_loader is not None
            self.search_batches = iter(self.search_loader)
        return next(self.search_batches)

    def reduce(self, batch: Batch, update: Update, own: UpdateStatistics) -> UpdateStatistics:
        """One all-reduce of gradients, BN statistics and losses; then the losses are metered and checked."""
        own.stop = self.stop.asked
        whole = self.parallelism.reduce(self.sets[update.trains].module, own, len(update.routes))
        self.stop_agreed |= whole.stop
        meters = self.meters
        if update.trains == ARCHITECTURE:
            meters = self.search_meters
            self.meters.backward_passes += len(update.routes)
        for loss, hits in zip(whole.losses.unbind(), whole.hits.unbind(), strict=True):
            meters.add(loss, hits, self.images_of(batch))
        self.check_later(whole.losses, lambda i: f" on path {format_route(update.routes[i])}")
        return whole

    def observation(self, update: Update, whole: UpdateStatistics, is_last: bool) -> Observation:
        """The record of an update before its optimizer step; `is_last` of its supernet step."""
        ends = is_last and self.schedule.ends_epoch(self.steps)
        norms = gradients.gradient_norms(self.net, update.routes) if GRADIENT_NORMS in self.wants else None
        return Observation(self.steps, self.schedule.epoch(self.steps), ends, update, whole.losses, whole.hits, norms)

    def optimizer_update(self, lr_scale: float, observation: Observation) -> None:
        """Clip the summed gradients if asked for, then move the weights."""
        if self.variance is not None:
            self.variance.add(RAW, observation.update)
        if self.settings.unsampled == "drifting":
            gradients.fill_missing(self.net)
        if self.settings.clip_norm is not None and self.settings.clip == "after":
            norm = gradients.clip(self.net, self.settings.clip_norm)
            if observation.norms is not None:
                factor = gradients.clip_factor(norm, self.settings.clip_norm)
                observation.norms = observation.norms._replace(clip_factor=factor)
        if self.variance is not None:
            self.variance.add(CLIPPED, observation.update)
        weights = self.sets[WEIGHTS]
        self.lr = weights.set_rates(self.steps, lr_scale)
        wrapped = self.optimizers(use_pl_optimizer=True)
        frozen = self.settings.unsampled == "frozen"
        with frozen_parts(self.net, self.tables, observation.update, weights.optimizer) if frozen else nullcontext():
            (wrapped[0] if isinstance(wrapped, list) else wrapped).step()
        self.average.update()

    def observe(self, batch: Batch, observation: Observation, images: Tensor) -> None:
        """Tell the observers, with the values (VALUES, R, B) of all images at an epoch's end; count the update."""
        if IMAGES in self.wants:
            self.image_meter.add(batch.positions, images)
            if observation.end_of_epoch:
                observation.images = self.image_meter.take()
        for observer in self.observers:
            observer.observe(observation)
        self.counts.add(observation.update.routes)
        for route in observation.update.routes if self.counts.operations is not None else ():
            self.counts.add_operations(self.net.operations(route))

    def images_of(self, batch: Batch) -> int:
        """Images of a mini-batch over all processes."""
        return len(batch.labels) * self.parallelism.images

    def extra_metrics(self) -> dict[str, Any]:
        """The spread of the update counts; the gradient's variance; the architecture, since the last row."""
        architecture: dict[str, Any] = {}
        if self.architecture is not None:
            architecture[ARCHITECTURE_COLUMNS[2]] = self.architecture.entropy().mean().item()
            if self.search_meters.passes:  # none in a warm-up of the weights
                means = self.search_meters.take()
                architecture |= dict(
                    zip(ARCHITECTURE_COLUMNS, (means["train/loss"], means["train/accuracy"]), strict=False)
                )
        variance = self.variance.figures if self.variance else {}
        return {"fairness/count_spread": self.counts.spread(), **variance, **architecture}

    def stateful(self) -> dict[str, Any]:
        """The parts whose state a checkpoint holds, by their name there."""
        parts = {
            "sampler": self.sampler,
            "images": self.image_meter,
            "gradient_variance": self.variance,
            "noise": self.noise,
            "search": self.search_loader,
            "search_means": self.search_meters,
            "average": self.average,
            "order": self.order,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def own_state(self) -> dict[str, Any]:
        """The way that `auto` came to (another one would sum in another order), split, counts, and all that changes."""
        state = {name: part.state_dict() for name, part in self.stateful().items()}
        return {"way": self.settings.way, "is_split": is_split(self.net), **self.counts.state_dict(), **state}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Restore counts and all that changes; whoever builds the run has split the net already."""
        self.counts.load_state_dict(state)
        for name, part in self.stateful().items():
            if state.get(name):
                part.load_state_dict(state[name])
