"""Sets of parameters that are trained apart: the weights of a supernet, and the parameters of its architecture."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


class ParameterSet:
    """Parameters with an optimizer, a schedule and a clipping of their own."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        learning_rate: Callable[[int], float],
        clip_norm: float | None = None,
    ) -> None:
        """Before the optimizer's state is restored from a checkpoint, which holds rates that were scheduled.

        Args:
            module: whose parameters they are.
            optimizer: of all or some of them.
            learning_rate: of a supernet step, for the first group.
            clip_norm: largest norm of the gradient; None: no clipping.
        """
        self.module, self.optimizer, self.learning_rate, self.clip_norm = module, optimizer, learning_rate, clip_norm
        # taken now: a checkpoint's groups hold rates that were scheduled
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.shares = [rate / rates[0] if rates[0] else 1.0 for rate in rates]
        """Initial rate of each group over that of the first."""

    def set_rates(self, step: int, scale: float = 1.0) -> float:
        """Give each group its rate for a step: initial rate times schedule times `scale`; returns the first's."""
        rate = self.learning_rate(step) * scale
        for group, share in zip(self.optimizer.param_groups, self.shares, strict=True):
            group["lr"] = rate * share
        return rate

    def update(self, step: int, scale: float = 1.0) -> None:
        """Clip the gradient if asked for, then move the parameters at the rates of a step times `scale`."""
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.clip_norm)
        self.set_rates(step, scale)
        self.optimizer.step()
