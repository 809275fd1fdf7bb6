"""Noise on the gradients of sampled operations, by which PA&DA's supplement (B.1) raises the gradient's variance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from src.runtime.seeds import mix
from src.supernet.path import Route
from src.supernet.supernet import Supernet
from src.training.gradients import parameters_of

STREAM = 4  # of the run's seed, beside those of weights, images and samplers


class GradientNoise:
    """Normal noise of one deviation from a generator of its own, on the device of the weights."""

    def __init__(self, net: Supernet, deviation: float, seed: int) -> None:
        self.net, self.deviation, self.seed = net, deviation, seed
        self.generator: torch.Generator | None = None
        self.resumed: torch.Tensor | None = None
        """The generator's state of a checkpoint, loaded before the weights are where they will be."""

    def add(self, routes: Sequence[Route]) -> None:
        """Add it to the gradients of the operations of the routes, as far as they have any."""
        ops = sorted({op for route in routes for op in self.net.operations(route)}) if self.deviation > 0 else []
        for parameter in (p for op in ops for p in parameters_of(self.net, op)):
            if parameter.grad is not None:
                noise = torch.empty_like(parameter).normal_(generator=self.on_device(parameter.device))
                parameter.grad.add_(noise, alpha=self.deviation)

    def on_device(self, device: torch.device) -> torch.Generator:
        """The generator, made where the weights are when it is first needed."""
        if self.generator is None:
            self.generator = torch.Generator(device).manual_seed(mix(self.seed, STREAM))
            if self.resumed is not None:
                self.generator.set_state(self.resumed)
        return self.generator

    def state_dict(self) -> dict[str, Any]:
        """The generator, if there is one."""
        state = self.resumed if self.generator is None else self.generator.get_state()
        return {} if state is None else {"generator": state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        if "generator" in state:
            self.resumed, self.generator = state["generator"], None
