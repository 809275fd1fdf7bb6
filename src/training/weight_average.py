"""An exponential moving average of a supernet's weights, which is scored instead of the weights of the last step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """average <- decay * average + (1 - decay) * weights, after each update (Polyak and Juditsky 1992).

    The plain mean of all weights so far while those are fewer than 1 / (1 - decay), so that the initial weights do not
    linger. Batch-norm statistics are not averaged: score under recalibrated ones (Izmailov et al. 2018, section 3.2).
    """

    def __init__(self, net: nn.Module, decay: float | None) -> None:
        """`decay` None: no average is kept, and the net has its own weights everywhere."""
        self.net, self.decay = net, decay
        self.updates = 0
        self.values: dict[str, Tensor] = {}
        """The average of each parameter; one that a split adds starts at what it is then."""

    @torch.no_grad()
    def update(self) -> None:
        """Take the present weights in."""
        if self.decay is None:
            return
        self.updates += 1
        # a parameter that is new begins with what it is; the others may have been read from a checkpoint
        weights = {name: parameter.detach() for name, parameter in self.net.named_parameters()}
        for name, weight in weights.items():
            kept = self.values.get(name)
            self.values[name] = weight.clone() if kept is None else kept.to(weight.device)
        # a running mean until the decay forgets more
        share = max(1 - self.decay, 1 / self.updates)
        torch._foreach_lerp_([self.values[name] for name in weights], list(weights.values()), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The net has the average for its weights meanwhile; where there is none it keeps its own."""
        if not self.values:
            yield
            return
        # the weights come back however the block ends
        own = {name: parameter.detach().clone() for name, parameter in self.net.named_parameters()}
        self.load_into_net(self.values)
        try:
            yield
        finally:
            self.load_into_net(own)

    @torch.no_grad()
    def load_into_net(self, values: dict[str, Tensor]) -> None:
        """Copy the values of parameters, whose storage stays."""
        for name, parameter in self.net.named_parameters():
            if name in values:
                parameter.copy_(values[name])

    def state_dict(self) -> dict[str, Any]:
        """The average and the number of updates behind it."""
        return {"updates": self.updates, "values": dict(self.values)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.updates, self.values = state["updates"], dict(state["values"])
