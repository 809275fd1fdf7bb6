"""Stochastic depth and dropout of a stand-alone network; no key of its state changes."""

from __future__ import annotations

from typing import Any

from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from src.supernet.ops import InvertedResidual


class DropPaths:
    """Stochastic depth: each image skips a residual block's body with the block's rate (Huang et al. 2016)."""

    def __init__(self, net: nn.Module, rate: float, grows: str, epoch_steps: int, epochs: float) -> None:
        """Block i of n, counted from 0, has rate * i / n (`depth`, as timm's mobile networks have).

        With `epochs` all have rate * e / epochs in epoch e, counted from 0 (as DARTS's code).
        """
        blocks = [module for module in net.modules() if isinstance(module, InvertedResidual)]
        shares = [i / len(blocks) if grows == "depth" else 1.0 for i in range(len(blocks))]
        self.grows_by_epochs, self.epoch_steps, self.epochs = grows == "epochs", epoch_steps, epochs
        self.drops: list[tuple[DropPath, float]] = []
        for block, share in zip(blocks, shares, strict=True):
            if rate and block.residual:
                block.drop_path = DropPath(rate * share)
                self.drops.append((block.drop_path, rate * share))

    def __len__(self) -> int:
        """Blocks that may be skipped."""
        return len(self.drops)

    def set(self, step: int) -> None:
        """Give every block the rate of a step, counted from 0."""
        if self.grows_by_epochs:
            for drop, rate in self.drops:
                drop.drop_prob = rate * (step // self.epoch_steps) / max(self.epochs, 1)


def add_dropout(net: nn.Module, rate: float) -> None:
    """Drop inputs of the last linear layer in training. A hook: a layer in between would rename what follows it."""

    def drop(layer: nn.Module, inputs: tuple[Any, ...]) -> Tensor:
        return F.dropout(inputs[0], rate, layer.training)

    if rate:
        last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1]
        last.register_forward_pre_hook(drop)
