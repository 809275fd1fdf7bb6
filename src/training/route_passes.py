"""Forward and backward passes of an update's routes on one mini-batch.

B images, R routes of an update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from src.datasets.dataset import Batch
from src.runtime.devices import move
from src.samplers.plan import ARCHITECTURE, Update
from src.samplers.sampler import Sampler
from src.supernet.batch_norm import frozen_statistics
from src.supernet.choice import is_permuted
from src.supernet.supernet import Supernet
from src.training import gradients
from src.training.compiled import CompiledWindow
from src.training.objective import Loss, Objective
from src.training.parallel import UpdateStatistics
from src.training.step_settings import StepSettings


class RoutePasses:
    """Runs routes one by one, in a window or as one compiled graph: gradients are added to .grad."""

    def __init__(self, net: Supernet, sampler: Sampler, settings: StepSettings, objective: Objective) -> None:
        self.net, self.sampler, self.settings, self.objective = net, sampler, settings, objective
        self.compiled = CompiledWindow(net)

    def grouped(self, update: Update, mine: slice) -> list[slice]:
        """The routes of `mine` in groups, each of which goes forward and backward as one graph."""
        alone = self.settings.way == "serial" or self.clips_each(update) or self.sampler.ghost_batch is not None
        if alone:
            return [slice(i, i + 1) for i in range(mine.start, mine.stop)]
        return [mine] if mine.start < mine.stop else []

    def clips_each(self, update: Update) -> bool:
        """Whether each route's gradient of the weights is clipped before the sum is taken."""
        clips = self.settings.clip_norm is not None and self.settings.clip == "before"
        return clips and update.trains != ARCHITECTURE

    def run(
        self, batch: Batch, update: Update, part: slice, backward: Callable[..., None], with_images: bool
    ) -> UpdateStatistics:
        """Forward and backward of some of an update's routes; `backward` as Tensor.backward.

        `with_images`: the statistics hold the loss and the logit gradient's norm of each image too.
        """
        routes = update.routes[part]
        clips_each = self.clips_each(update)
        kept = gradients.set_aside(self.net) if clips_each else None

        # Forward: one compiled graph, one route, or a window of several; architecture leaves BN statistics alone.
        runs_compiled = self.settings.way == "compiled" and is_permuted(routes, self.sampler.sizes)
        trains_architecture = update.trains == ARCHITECTURE
        with frozen_statistics(self.net) if trains_architecture else nullcontext():
            if runs_compiled:
                all_logits = self.compiled(batch.images, routes)  # type: ignore[arg-type]
            elif len(routes) == 1:
                all_logits = [self.net(batch.images, routes[0])]
            else:
                all_logits = self.net.window(batch.images, routes)

        # Backward of the weighted sum over the routes, to the weights or to the logits alone.
        losses = [self.objective(logits, batch.labels) for logits in all_logits]
        loss = self.combined(losses, batch, update, part)
        if trains_architecture:
            assert self.sampler.architecture is not None
            backward(loss, inputs=list(self.sampler.architecture.parameters()))
        else:
            backward(loss)
        if runs_compiled:
            self.compiled.clear_unreached(routes)  # type: ignore[arg-type]
        if kept is not None:
            assert self.settings.clip_norm is not None
            gradients.clip(self.net, self.settings.clip_norm)
            gradients.add(self.net, kept)

        # The means, and the values of single images only if somebody wants them.
        images = batch.images.new_zeros(0, len(routes), len(batch.labels))
        if with_images:
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
        total = stacked.sum() * (1 / len(update.routes) if self.settings.reduction == "mean" else 1.0)
        # once an update, whoever runs its first route
        return total if update.penalty is None or part.start else total + update.penalty
