"""The observation of one update, for whoever learns from it: a sampler, a data order, a measurement.

It is the same on every process and for every way of running a step. What an update computes stays on the device, where
reading a value would make the host wait: observers sum it up there, and read at the end of an epoch.
B images of a mini-batch over all processes, R routes of an update, O operations on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from src.samplers.plan import Update
from src.supernet.path import OpId

GRADIENT_NORMS, IMAGES = "gradient_norms", "images"
"""Parts of an observation that cost extra; the others are always there."""


class GradientNorms(NamedTuple):
    """L2 norms of an update's gradient, before it is clipped as a whole; all on the device.

    With step.clip=before each route's gradient was clipped before the sum was taken.
    """

    ops: tuple[OpId, ...]
    """(O,) in ascending order."""
    squared: Tensor
    """(O,) squared norm of the gradient of each operation, over all its parameters."""
    tensor_sums: Tensor
    """(O,) sum of the norms of each operation's single parameters."""
    whole: Tensor
    """() norm over all parameters; in an update of one route that of its path."""
    clip_factor: Tensor
    """() that the gradient was multiplied with before the optimizer step; 1 where it was not clipped."""

    @property
    def clipped(self) -> Tensor:
        """(O,) squared norm of the gradient of each operation after clipping, without the update's op_scales."""
        return self.squared * self.clip_factor.square()


class ImageRecord(NamedTuple):
    """The images of an epoch: one row for each image of each route of each update, in this order.

    On the CPU; after a resume in mid-epoch the earlier steps are in it too.
    """

    positions: Tensor
    """(n,) int64 in the training part."""
    losses: Tensor
    """(n,) loss of each image, without weights."""
    logit_norms: Tensor
    """(n,) L2 norm of the gradient of each image's loss with respect to its logits: softmax minus target."""
    shapes: Tensor
    """(U, 2) int64: routes and images of each update."""

    def over_routes(self) -> ImageRecord:
        """One row for each image of each update: means over its routes."""
        if (self.shapes[:, 0] == 1).all():
            return self
        # rows of an update come route by route
        counts = self.shapes.prod(1).tolist()
        updates = zip(*(values.split(counts) for values in self[:3]), self.shapes[:, 0].tolist(), strict=True)
        rows = [
            (positions.unflatten(0, (routes, -1))[0], *(v.unflatten(0, (routes, -1)).mean(0) for v in values))
            for positions, *values, routes in updates
        ]
        positions, losses, norms = (torch.cat(column) for column in zip(*rows, strict=True))
        shapes = torch.stack([torch.ones_like(self.shapes[:, 0]), self.shapes[:, 1]], 1)
        return ImageRecord(positions, losses, norms, shapes)


@dataclass
class Observation:
    """Handed over after the update's optimizer step."""

    step: int
    """Of the run, counted from 0."""
    epoch: int
    end_of_epoch: bool
    """Whether this is the last update of an epoch; an epoch that the budget cuts short has none."""
    update: Update
    losses: Tensor
    """(R,) mean loss of each route, without weights, on the device."""
    hits: Tensor
    """(R,) images that each route classified correctly, on the device."""
    norms: GradientNorms | None = None
    """If an observer wants GRADIENT_NORMS."""
    images: ImageRecord | None = None
    """If an observer wants IMAGES, at the end of an epoch."""


@runtime_checkable
class Observer(Protocol):
    """Learns from updates. Its `observe` must not read a value from the device before the end of an epoch."""

    wants: frozenset[str]
    """GRADIENT_NORMS, IMAGES, both or none."""

    def observe(self, observation: Observation) -> None:
        """Take in one update, after its optimizer step."""

    def epoch_rows(self, labels: Tensor) -> list[dict[str, Any]]:
        """Rows of importance.csv about the last whole epoch: `figure`, `value`, perhaps `layer` and `choice`.

        `labels` (N,) int64 are those of the training part.
        """
