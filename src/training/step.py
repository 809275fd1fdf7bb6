"""The supernet step: a sampler's plan carried out on one mini-batch, under manual optimization.

B images, L layers, m choices of a layer, R routes of an update.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from src.datasets.dataset import Batch
from src.samplers.observation import GRADIENT_NORMS, SAMPLES, Observation
from src.samplers.sampler import Sampler
from src.supernet.batch_norm import set_ghost_batch
from src.supernet.choice import is_permuted
from src.supernet.dependences import frozen_rows, tables
from src.supernet.inter_choice import is_split, split_weights
from src.supernet.path import Route, format_route
from src.supernet.supernet import Supernet
from src.training import gradients
from src.training.compiled import CompiledWindow
from src.training.counts import Counts
from src.training.objective import CrossEntropy, Objective
from src.training.optimizer import extend
from src.training.parallel import Parallelism, UpdateStatistics
from src.training.run_state import RunState

WAYS = ("serial", "window", "compiled")


@dataclass(frozen=True)
class StepSettings:
    """Settings that turn the gradients of an update into a step; the defaults are FairNAS's."""

    way: str = "serial"
    """One route after another (`serial`), or all routes of an update layer by layer (`window`): the same update, up to
    rounding. `compiled` is the window as a static graph, with the permutations as its input (compiled.py)."""
    reduction: str = "sum"
    """`sum` over the R routes (stem and tail get R gradients), or their `mean`."""
    unsampled: str = "frozen"
    """Choices off the routes stay `frozen`, or go on `drifting` under momentum and weight decay (gradient 0)."""
    clip_norm: float | None = None
    """Largest gradient norm; None: no clipping."""
    clip: str = "after"
    """Clip the sum of the gradients (`after` summing), or each route's own (`before`)."""
    label_smoothing: float = 0.0


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
        learning_rate: Callable[[int], float],
        split_step: int | None = None,
        parallelism: Parallelism | None = None,
    ) -> None:
        """`net(images, route)` gives logits; `learning_rate(step)` is that of a supernet step counted from 0.

        Before step `split_step` every operation is copied for each previous choice. `parallelism` says which part
        of an update this process computes; None: all of it.
        """
        super().__init__(net)
        self.automatic_optimization = False
        self.sampler, self.settings = sampler, settings
        self.make_optimizer, self.learning_rate, self.split_step = optimizer, learning_rate, split_step
        self.objective: Objective = CrossEntropy(settings.label_smoothing)
        self.parallelism = parallelism or Parallelism()
        self.stop_agreed = False
        """Whether all processes know of one that received a signal."""
        self.compiled = CompiledWindow(net)
        self.tables = tables(net)
        self.counts = Counts(sampler.sizes)
        set_ghost_batch(net, sampler.ghost_batch)

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
        if self.split_step is not None and self.steps >= self.split_step and not is_split(self.net):
            extend(self.optimizers(use_pl_optimizer=False), split_weights(self.net))  # type: ignore[arg-type]
        lr = self.learning_rate(self.steps)
        for update in self.sampler.plan():
            observation = Observation(update.routes, batch.index)
            # None, not zero: the optimizer then leaves choices off the routes alone.
            self.net.zero_grad(set_to_none=True)
            self.parallelism.begin(self.net)
            # Gradients of all routes add up in .grad.
            weight = 1 / len(update.routes) if self.settings.reduction == "mean" else 1.0
            for routes in self.grouped(update.routes[self.parallelism.mine(update.routes)]):
                self.backward_pass(batch, routes, weight, observation)
            self.reduce(batch, observation)
            self.optimizer_update(lr * update.lr_scale)
            self.observe(observation)
        self.steps += 1

    def grouped(self, routes: tuple[Route, ...]) -> list[tuple[Route, ...]]:
        """The routes in groups, each of which goes forward and backward as one graph."""
        clips_each = self.settings.clip_norm is not None and self.settings.clip == "before"
        alone = self.settings.way == "serial" or clips_each or self.sampler.ghost_batch is not None
        return [(route,) for route in routes] if alone or not routes else [routes]

    def backward_pass(self, batch: Batch, routes: tuple[Route, ...], weight: float, observation: Observation) -> None:
        """Forward and backward of R routes on images (B, C, H, W): gradients are added to .grad, losses observed."""
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

        # Backward of the sum over the routes.
        losses = [self.objective(logits, batch.labels) for logits in all_logits]
        if SAMPLES in self.sampler.wants:
            for logits, loss in zip(all_logits, losses, strict=True):
                observation.add_samples(logits, loss.per_image)
        self.manual_backward(torch.stack([loss.mean for loss in losses]).sum() * weight)
        if runs_compiled:
            self.compiled.clear_unreached(routes)  # type: ignore[arg-type]

        if kept is not None:
            assert self.settings.clip_norm is not None
            gradients.clip(self.net, self.settings.clip_norm)
            gradients.add(self.net, kept)
        for loss, logits in zip(losses, all_logits, strict=True):
            observation.losses.append(loss.mean.detach())
            observation.hits.append((logits.detach().argmax(1) == batch.labels).sum())

    def reduce(self, batch: Batch, observation: Observation) -> None:
        """One all-reduce of gradients, BN statistics and losses; then the losses are metered and checked."""
        # A process without a route of its own has no losses.
        none = batch.images.new_zeros(0)
        own = UpdateStatistics(
            torch.stack(observation.losses) if observation.losses else none,
            torch.stack(observation.hits) if observation.hits else none,
            self.stop.asked,
        )
        whole = self.parallelism.reduce(self.net, own, len(observation.routes))
        self.stop_agreed |= whole.stop
        observation.losses, observation.hits = list(whole.losses.unbind()), list(whole.hits.unbind())
        for loss, hits in zip(observation.losses, observation.hits, strict=True):
            self.meters.add(loss, hits, self.images_of(batch))
        routes = observation.routes
        self.check_later(torch.stack(observation.losses), lambda i: f" on path {format_route(routes[i])}")

    def optimizer_update(self, lr: float) -> None:
        """Clip the summed gradients if asked for, then move the weights."""
        if self.settings.unsampled == "drifting":
            gradients.fill_missing(self.net)
        if self.settings.clip_norm is not None and self.settings.clip == "after":
            gradients.clip(self.net, self.settings.clip_norm)
        self.lr = lr
        optimizer = self.optimizers(use_pl_optimizer=True)
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = lr
        # A table of inter-choice weights is one parameter: rows off the routes are frozen by hand.
        frozen = self.tables and self.settings.unsampled == "frozen"
        with frozen_rows(self.tables, self.optimizers(False)) if frozen else nullcontext():  # type: ignore[arg-type]
            optimizer.step()  # type: ignore[union-attr]

    def observe(self, observation: Observation) -> None:
        """Hand the observation to the sampler, and count the update."""
        if GRADIENT_NORMS in self.sampler.wants:
            observation.gradient_norms = gradients.squared_norms(self.net, observation.routes)
        self.sampler.observe(observation)
        self.counts.add(observation.routes)

    def images_of(self, batch: Batch) -> int:
        """Images of a mini-batch over all processes."""
        return len(batch.labels) * self.parallelism.images

    def extra_metrics(self) -> dict[str, Any]:
        """The largest difference between the update counts of two choices of one layer."""
        return {"fairness/count_spread": self.counts.spread()}

    def own_state(self) -> dict[str, Any]:
        """The way that `auto` came to (another one would sum in another order), split, sampler, counts."""
        return {
            "way": self.settings.way,
            "is_split": is_split(self.net),
            "sampler": self.sampler.state_dict(),
            "counts": self.counts.values.clone(),
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Restore sampler and counts; whoever builds the run has split the net already."""
        self.sampler.load_state_dict(state["sampler"])
        self.counts.values.copy_(state["counts"])
