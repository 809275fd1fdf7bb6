"""Sums up what an epoch shows of single images, on the training device, for the observers that want it.

B images of a mini-batch over all processes, R routes of an update, n rows of an epoch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from src.samplers.observation import ImageRecord

VALUES = 2
"""Loss, and norm of the gradient with respect to the logits."""


class ImageMeter:
    """Keeps the values of every update on the device; `take` moves all of an epoch to the host at once."""

    def __init__(self) -> None:
        self.before: dict[str, Tensor] = {}
        """What a checkpoint held of the epoch: `positions` (n,), `values` (VALUES, n) and `shapes` (2, U)."""
        self.positions: list[Tensor] = []
        self.values: list[Tensor] = []
        self.shapes: list[tuple[int, int]] = []
        """Routes and images of each update."""

    def add(self, positions: Tensor, values: Tensor) -> None:
        """Keep an update's values (VALUES, R, B) of the images at `positions` (B,) of the training part."""
        self.positions.append(positions.expand(values.shape[1], -1).flatten())
        self.values.append(values.flatten(1))
        self.shapes.append((values.shape[1], values.shape[2]))

    def take(self) -> ImageRecord:
        """All since the epoch began, on the CPU; the next epoch begins with nothing."""
        # read, then begin again
        state = self.state_dict()
        self.before, self.positions, self.values, self.shapes = {}, [], [], []
        losses, logit_norms = state["values"].unbind()
        return ImageRecord(state["positions"], losses, logit_norms, state["shapes"].t())

    def state_dict(self) -> dict[str, Any]:
        """Everything so far, on the CPU; empty where nothing was kept."""
        # the one transfer: all values on the device are joined there first
        own: dict[str, Tensor] = {}
        if self.values:
            own = {"positions": torch.cat(self.positions), "values": torch.cat(self.values, 1).cpu()}
            own["shapes"] = torch.tensor(self.shapes).t()
        if not (own and self.before):
            return own or self.before
        return {key: torch.cat([self.before[key], own[key]], -1) for key in own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.before = state
