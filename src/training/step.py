"""The supernet step: a sampler's plan carried out on one mini-batch, under manual optimization.

B images, L layers, m choices of a layer, R routes of an update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from src.datasets.dataset import Batch
from src.runtime.devices import move
from src.samplers.observation import GRADIENT_NORMS, IMAGES, Observation, Observer
from src.samplers.plan import Update
from src.samplers.sampler import Sampler
from src.supernet.batch_norm import set_ghost_batch
from src.supernet.choice import is_permuted
from src.supernet.dependences import frozen_rows, tables
from src.supernet.inter_choice import is_split, split_weights
from src.supernet.path import format_route
from src.supernet.supernet import Supernet
from src.training import gradients
from src.training.compiled import CompiledWindow
from src.training.counts import Counts
from src.training.gradient_noise import GradientNoise
from src.training.gradient_variance import CLIPPED, RAW, GradientVariance
from src.training.image_meter import VALUES, ImageMeter
from src.training.objective import CrossEntropy, Loss, Objective
from src.training.optimizer import extend
from src.training.parallel import Parallelism, UpdateStatistics
from src.training.run_state import RunState
from src.training.step_settings import StepSchedule, StepSettings


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
        self.objective: Objective = CrossEntropy(settings.label_smoothing)
        self.parallelism = parallelism or Parallelism()
        self.stop_agreed = False
        """Whether all processes know of one that received a signal."""
        self.compiled = CompiledWindow(net)
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

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of the whole supernet."""
        return self.make_optimizer(self.net)

    def training_step(self, batch: Batch, _: int) -> None:
        """One supernet step: the updates of the plan in order, each with an optimizer step of its own."""
        # Inter-choice weights: at the split the optimizer is extended in place.
        split_step = self.schedule.split_step
        if split_step is not None and self.steps >= split_step and not is_split(self.net):
            extend(self.optimizers(use_pl_optimizer=False), split_weights(self.net))  # type: ignore[arg-type]
        lr = self.schedule.learning_rate(self.steps)
        plan = self.sampler.plan()
        for number, update in enumerate(plan, 1):
            # None, not zero: the optimizer then leaves choices off the routes alone.
            self.net.zero_grad(set_to_none=True)
            self.parallelism.begin(self.net)
            # Gradients of all routes add up in .grad.
            parts = [self.backward_pass(batch, update, part) for part in self.grouped(update)]
            own = UpdateStatistics.joined(parts, batch.images, VALUES * (IMAGES in self.wants))
            whole = self.reduce(batch, update, own)
            self.noise.add(update.routes)
            observation = self.observation(update, whole, is_last=number == len(plan))
            gradients.scale(self.net, update.op_scales or ())
            self.optimizer_update(lr * update.lr_scale, observation)
            self.observe(batch, observation, whole.images)
        self.steps += 1

    def grouped(self, update: Update) -> list[slice]:
        """This process's routes in groups, each of which goes forward and backward as one graph."""
        mine = self.parallelism.mine(update.routes)
        clips_each = self.settings.clip_norm is not None and self.settings.clip == "before"
        alone = self.settings.way == "serial" or clips_each or self.sampler.ghost_batch is not None
        if alone:
            return [slice(i, i + 1) for i in range(mine.start, mine.stop)]
        return [mine] if mine.start < mine.stop else []

    def backward_pass(self, batch: Batch, update: Update, part: slice) -> UpdateStatistics:
        """Forward and backward of some of an update's routes: gradients are added to .grad."""
        routes = update.routes[part]
        clips_each = self.settings.clip_norm is not None and self.settings.clip == "before"
        kept = gradients.set_aside(self.net) if clips_each else None

        # Forward: one compiled graph, one route, or a window of several.
        runs_compiled = self.settings.way == "compiled" and is_permuted(routes, self.sampler.sizes)
        if runs_compiled:
            all_logits = self.compiled(batch.images, routes)  # type: ignore[arg-type]
        elif len(routes) == 1:
            all_logits = [self.net(batch.images, routes[0])]
        else:
            all_logits = self.net.window(batch.images, routes)

        # Backward of the weighted sum over the routes.
        losses = [self.objective(logits, batch.labels) for logits in all_logits]
        self.manual_backward(self.combined(losses, batch, update, part))
        if runs_compiled:
            self.compiled.clear_unreached(routes)  # type: ignore[arg-type]
        if kept is not None:
            assert self.settings.clip_norm is not None
            gradients.clip(self.net, self.settings.clip_norm)
            gradients.add(self.net, kept)

        # What it showed: means, and the values of single images only if somebody wants them.
        images = batch.images.new_zeros(0, len(routes), len(batch.labels))
        if IMAGES in self.wants:
            norms = [self.objective.logit_norms(logits, batch.labels) for logits in all_logits]
            images = torch.stack([torch.stack([loss.per_image.detach() for loss in losses]), torch.stack(norms)])
        hits = [(logits.detach().argmax(1) == batch.labels).sum() for logits in all_logits]
        return UpdateStatistics(torch.stack([loss.mean.detach() for loss in losses]), torch.stack(hits), images)

    def combined(self, losses: Sequence[Loss], batch: Batch, update: Update, part: slice) -> Tensor:
        """The loss () that is differentiated: (1 / B) sum over images of image weight * loss, summed over routes."""
        # an image's weight counts in full: the sum is over B images, not over their weights
        weights = batch.weights
        means = [loss.mean if weights is None else (weights * loss.per_image).mean() for loss in losses]
        stacked = torch.stack(means)
        if update.weights is not None:
            stacked = stacked * move(torch.tensor(update.weights[part], dtype=stacked.dtype), stacked.device)
        return stacked.sum() * (1 / len(update.routes) if self.settings.reduction == "mean" else 1.0)

    def reduce(self, batch: Batch, update: Update, own: UpdateStatistics) -> UpdateStatistics:
        """One all-reduce of gradients, BN statistics and losses; then the losses are metered and checked."""
        own.stop = self.stop.asked
        whole = self.parallelism.reduce(self.net, own, len(update.routes))
        self.stop_agreed |= whole.stop
        for loss, hits in zip(whole.losses.unbind(), whole.hits.unbind(), strict=True):
            self.meters.add(loss, hits, self.images_of(batch))
        self.check_later(whole.losses, lambda i: f" on path {format_route(update.routes[i])}")
        return whole

    def observation(self, update: Update, whole: UpdateStatistics, is_last: bool) -> Observation:
        """The record of an update before its optimizer step; `is_last` of its supernet step."""
        ends = is_last and self.schedule.ends_epoch(self.steps)
        norms = gradients.gradient_norms(self.net, update.routes) if GRADIENT_NORMS in self.wants else None
        return Observation(self.steps, self.schedule.epoch(self.steps), ends, update, whole.losses, whole.hits, norms)

    def optimizer_update(self, lr: float, observation: Observation) -> None:
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
        self.lr = lr
        optimizer = self.optimizers(use_pl_optimizer=True)
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = lr
        # A table of inter-choice weights is one parameter: rows off the routes are frozen by hand.
        frozen = self.tables and self.settings.unsampled == "frozen"
        with frozen_rows(self.tables, self.optimizers(False)) if frozen else nullcontext():  # type: ignore[arg-type]
            optimizer.step()  # type: ignore[union-attr]

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
        """The largest difference between the update counts of two choices of one layer; the gradient's variance."""
        return {"fairness/count_spread": self.counts.spread(), **(self.variance.figures if self.variance else {})}

    def own_state(self) -> dict[str, Any]:
        """The way that `auto` came to (another one would sum in another order), split, sampler, counts, images."""
        return {
            "way": self.settings.way,
            "is_split": is_split(self.net),
            "sampler": self.sampler.state_dict(),
            **self.counts.state_dict(),
            "images": self.image_meter.state_dict(),
            "gradient_variance": self.variance.state_dict() if self.variance else {},
            "noise": self.noise.state_dict(),
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Restore sampler, counts and images; whoever builds the run has split the net already."""
        self.sampler.load_state_dict(state["sampler"])
        self.counts.load_state_dict(state)
        self.image_meter.load_state_dict(state.get("images", {}))
        if self.variance is not None:
            self.variance.load_state_dict(state["gradient_variance"])
        self.noise.load_state_dict(state.get("noise", {}))
