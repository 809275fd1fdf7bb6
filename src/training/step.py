"""The supernet step: a sampler's plan carried out on one mini-batch, under manual optimization.

B images, L layers, m choices of a layer, R routes of an update.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.datasets.dataset import Batch
from src.runtime.errors import RunError
from src.runtime.interrupts import Stop
from src.samplers.observation import GRADIENT_NORMS, SAMPLES, Record
from src.samplers.plan import Update
from src.samplers.sampler import Sampler
from src.supernet.batch_norm import set_ghost_batch
from src.supernet.choice import is_permuted
from src.supernet.dependences import frozen_rows, tables
from src.supernet.inter_choice import is_split, split_weights
from src.supernet.path import Route, format_route
from src.supernet.supernet import Supernet
from src.training.compiled import CompiledWindow
from src.training.counts import Counts
from src.training.meters import Meters, Stopwatch
from src.training.optimizer import extend
from src.training.parallel import Outcome, Parallelism

WAYS = ("serial", "window", "compiled")


@dataclass(frozen=True)
class StepSettings:
    """How an update turns gradients into a step; the defaults are FairNAS's."""

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


class SupernetStep(pl.LightningModule):
    """Trains a supernet. It knows no sampler by name: a variant of training is a value, the plan."""

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

        Before step `split_step` every operation is copied for each previous choice. `sharing` says which part
        of an update is this process's; None: all.
        """
        super().__init__()
        self.automatic_optimization = False
        self.net, self.sampler, self.settings = net, sampler, settings
        self.make_optimizer, self.learning_rate, self.split_step = optimizer, learning_rate, split_step
        self.parallelism = parallelism or Parallelism()
        self.stop, self.stop_agreed = Stop(), False
        """Whether this process was asked to stop, and whether all know of one that was."""
        self.static = CompiledWindow(net)
        self.tables = tables(net)
        self.steps = 0
        self.unchecked: list[tuple[int, tuple[Route, ...], Tensor]] = []
        """(step, routes, their losses (R,)) of updates that nobody has looked at yet."""
        self.loader_state: Callable[[], dict[str, Any]] = dict
        """Where the training loader stands, set by whoever starts the run."""
        self.lr = 0.0
        """Of the last update."""
        self.stopwatch = Stopwatch()
        self.counts, self.means = Counts(sampler.sizes), Meters()
        set_ghost_batch(net, sampler.ghost_batch)

    @property
    def stopping(self) -> bool:
        """Whether the run ends after this step: all processes must agree, or some would wait for the others."""
        return self.stop_agreed if self.parallelism.size > 1 else self.stop.asked

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of the whole supernet."""
        return self.make_optimizer(self.net)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Nothing to do: loaders hand out batches on the training device."""
        return batch

    def training_step(self, batch: Batch, _: int) -> None:
        """One supernet step: the updates of the plan in order, each with an optimizer step of its own."""
        self._split_if_due()
        lr = self.learning_rate(self.steps)
        for update in self.sampler.plan():
            record = Record(update.routes, batch.index)
            self._clear_gradients()
            self.parallelism.begin(self.net)
            for routes in self._together(update.routes[self.parallelism.mine(update.routes)]):
                self._backward(batch, routes, self._weight(update), record)  # gradients add up in .grad
            self._reduce(batch, record)
            self._keep_losses(record)
            self._finish_gradients()
            self._optimizer_step(lr * update.lr_scale)
            self._observe(record)
            self.counts.add(update.routes)
        self.steps += 1

    def _split_if_due(self) -> None:
        """Inter-choice weights: at the split the optimizer is extended in place."""
        if self.split_step is not None and self.steps >= self.split_step and not is_split(self.net):
            extend(self.optimizers(use_pl_optimizer=False), split_weights(self.net))  # type: ignore[arg-type]

    def _clear_gradients(self) -> None:
        """None, not zero: the optimizer then leaves choices off the routes alone."""
        self.net.zero_grad(set_to_none=True)

    def _weight(self, update: Update) -> float:
        return 1 / len(update.routes) if self.settings.reduction == "mean" else 1.0

    def _together(self, routes: tuple[Route, ...]) -> list[tuple[Route, ...]]:
        """The routes in groups: each group goes forward and backward as one graph."""
        alone = self.settings.way == "serial" or self._clips("before") or self.sampler.ghost_batch is not None
        return [(route,) for route in routes] if alone or not routes else [routes]

    def _backward(self, batch: Batch, routes: tuple[Route, ...], weight: float, record: Record) -> None:
        """Forward and backward of some routes; leaves their losses in the record and their gradients added to .grad."""
        held = self._set_gradients_aside() if self._clips("before") else None
        all_logits = self._logits(batch.images, routes)
        smoothing = self.settings.label_smoothing
        means = []
        for logits in all_logits:
            losses = F.cross_entropy(logits, batch.labels, reduction="none", label_smoothing=smoothing)
            means.append(losses.mean())
            if SAMPLES in self.sampler.wants:
                self._record_samples(logits, losses, record)
        self.manual_backward(torch.stack(means).sum() * weight)
        if self._is_static(routes):
            self.static.clear_unreached(routes)  # type: ignore[arg-type]
        if held is not None:
            self._clip_gradients()
            self._add_gradients(held)
        for loss, logits in zip(means, all_logits, strict=True):
            record.losses.append(loss.detach())
            record.hits.append((logits.detach().argmax(1) == batch.labels).sum())

    def _logits(self, images: Tensor, routes: tuple[Route, ...]) -> list[Tensor]:
        if self._is_static(routes):
            return self.static(images, routes)  # type: ignore[arg-type]
        if len(routes) == 1:
            return [self.net(images, routes[0])]
        return self.net.window(images, routes)

    def _is_static(self, routes: tuple[Route, ...]) -> bool:
        return self.settings.way == "compiled" and is_permuted(routes, self.sampler.sizes)

    def _reduce(self, batch: Batch, record: Record) -> None:
        """Make the update that of all processes, and count what it showed."""
        none = batch.images.new_zeros(0)
        found = Outcome(
            torch.stack(record.losses) if record.losses else none,
            torch.stack(record.hits) if record.hits else none,
            self.stop.asked,
        )
        found = self.parallelism.reduce(self.net, found, len(record.routes))
        self.stop_agreed |= found.stop
        record.losses, record.hits = list(found.losses.unbind()), list(found.hits.unbind())
        for loss, hits in zip(record.losses, record.hits, strict=True):
            self.means.add(loss, hits, len(batch.labels) * self.parallelism.images)

    def _keep_losses(self, record: Record) -> None:
        """Look at them before the weights are touched, but on a GPU, where looking means waiting, only now and then."""
        self.unchecked.append((self.steps, record.routes, torch.stack(record.losses)))
        if self.unchecked[-1][-1].device.type == "cpu":
            self.refuse_non_finite()

    def refuse_non_finite(self) -> None:
        """Stop the run on the first loss that is not finite, naming the step and the path.

        Raises:
            RunError: there is one among those not yet looked at.
        """
        unchecked, self.unchecked = self.unchecked, []
        for step, routes, losses in unchecked:
            finite = losses.isfinite()
            if not finite.all():
                route = routes[int(finite.logical_not().nonzero()[0])]
                raise RunError(
                    f"loss is not finite at step {step} on path {format_route(route)}: "
                    "lower optimizer.lr, or set step.clip_norm"
                )

    def _finish_gradients(self) -> None:
        if self.settings.unsampled == "drifting":
            for parameter in self.net.parameters():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        if self._clips("after"):
            self._clip_gradients()

    def _optimizer_step(self, lr: float) -> None:
        self.lr = lr
        optimizer = self.optimizers(use_pl_optimizer=True)
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = lr
        frozen = self.tables and self.settings.unsampled == "frozen"
        with frozen_rows(self.tables, self.optimizers(False)) if frozen else nullcontext():  # type: ignore[arg-type]
            optimizer.step()  # type: ignore[union-attr]

    def _observe(self, record: Record) -> None:
        if GRADIENT_NORMS in self.sampler.wants:
            record.gradient_norms = _gradient_norms(self.net, record.routes)
        self.sampler.observe(record)

    def _clips(self, when: str) -> bool:
        return self.settings.clip_norm is not None and self.settings.clip == when

    def _clip_gradients(self) -> None:
        assert self.settings.clip_norm is not None
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.clip_norm)

    def _set_gradients_aside(self) -> list[Tensor | None]:
        held = [parameter.grad for parameter in self.net.parameters()]
        self._clear_gradients()
        return held

    def _add_gradients(self, held: list[Tensor | None]) -> None:
        for parameter, before in zip(self.net.parameters(), held, strict=True):
            if before is not None:
                parameter.grad = before if parameter.grad is None else parameter.grad + before

    @staticmethod
    def _record_samples(logits: Tensor, losses: Tensor, record: Record) -> None:
        (gradient,) = torch.autograd.grad(losses.sum(), logits, retain_graph=True)
        record.sample_losses.append(losses.detach())
        record.logit_gradients.append(gradient.norm(dim=1))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add all that a bit-identical continuation needs; plain values and tensors, so it loads with weights_only."""
        # Progress is counted in supernet steps here; Lightning's own loop counters would fight a changed budget.
        checkpoint.pop("loops", None)
        checkpoint["fairpath"] = {
            "steps": self.steps,
            "way": self.settings.way,  # what `auto` came to: another one would sum in another order
            "is_split": is_split(self.net),
            "loader": self.loader_state(),
            "sampler": self.sampler.state_dict(),
            "counts": self.counts.values.clone(),
            "means": self.means.state_dict(),
            "seconds": self.stopwatch.seconds(),
            "threads": torch.get_num_threads(),
            "rng": torch.get_rng_state(),
            "rng_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what `on_save_checkpoint` added; the random state waits for the first step."""
        state = checkpoint["fairpath"]
        self.steps = state["steps"]
        self.sampler.load_state_dict(state["sampler"])
        self.counts.values.copy_(state["counts"])
        self.means.load_state_dict(state["means"])
        self.stopwatch = Stopwatch(state["seconds"])
        self._rng = (state["rng"], state["rng_cuda"])

    def on_train_start(self) -> None:
        """Restore torch's global generators last, since setting up a Trainer may draw from them."""
        self.stopwatch.start()
        if rng := getattr(self, "_rng", None):
            torch.set_rng_state(rng[0].cpu())
            if rng[1] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all([state.cpu() for state in rng[1]])


def _gradient_norms(net: Supernet, routes: tuple[Route, ...]) -> dict[tuple[int, int], Tensor]:
    """Squared gradient norm of every (layer, choice) on the routes; the net says which modules a choice is."""
    used = {(layer, c) for route in routes for layer, c in enumerate(route) if isinstance(c, int)}
    norms = {}
    for layer, choice in sorted(used):
        modules = net.choice_modules(layer, choice)
        gradients = [p.grad for module in modules for p in module.parameters() if p.grad is not None]
        norms[layer, choice] = sum((g.square().sum() for g in gradients), torch.zeros(()))
    return norms
