"""An order that learns, as an option of a run: order._target_=tests.datasets.learnt_order.ByLoss"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from src.datasets.orders import Order
from src.runtime.seeds import mix
from src.samplers.observation import IMAGES, Observation


class ByLoss(Order):
    """Draws images in proportion to their loss in the epoch before; each counts by the inverse of that."""

    least_epochs = 2
    wants = frozenset({IMAGES})

    def __init__(self, count: int, seed: int, epochs: float = 1.0) -> None:
        super().__init__(count, seed, epochs)
        self.scores = torch.ones(count)

    def draw(self, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        return torch.multinomial(self.scores, self.count, replacement=True, generator=generator)

    def weights(self, positions: Tensor) -> Tensor:
        return self.scores.mean() / self.scores[positions]

    def observe(self, observation: Observation) -> None:
        if observation.images is not None:
            seen = observation.images
            self.scores = torch.full((self.count,), 0.1).index_add(0, seen.positions, seen.losses)

    def state_dict(self) -> dict[str, Any]:
        return {"scores": self.scores.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scores = state["scores"].clone()
