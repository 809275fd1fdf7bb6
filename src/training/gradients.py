"""Operations on gradients between the backward passes of an update and its optimizer step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src.supernet.path import OpId, Route
from src.supernet.supernet import Supernet


def set_aside(net: nn.Module) -> list[Tensor | None]:
    """Take all gradients off the parameters; returns them in the order of `net.parameters()`."""
    kept = [parameter.grad for parameter in net.parameters()]
    net.zero_grad(set_to_none=True)
    return kept


def add(net: nn.Module, kept: Sequence[Tensor | None]) -> None:
    """Add what `set_aside` returned to the gradients as they are now."""
    for parameter, before in zip(net.parameters(), kept, strict=True):
        if before is not None:
            parameter.grad = before if parameter.grad is None else parameter.grad + before


def clip(net: nn.Module, norm: float) -> None:
    """Scale all gradients so that their common L2 norm is at most `norm`."""
    torch.nn.utils.clip_grad_norm_(net.parameters(), norm)


def fill_missing(net: nn.Module) -> None:
    """Give parameters without a gradient one of zeros: momentum and weight decay then move them too."""
    for parameter in net.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def squared_norms(net: Supernet, routes: Sequence[Route]) -> dict[OpId, Tensor]:
    """Squared L2 norm () of the gradient of every operation that the routes run."""
    norms = {}
    for op in sorted({op for route in routes for op in net.operations(route)}):
        gradients = [p.grad for module in net.op_modules(op) for p in module.parameters() if p.grad is not None]
        norms[op] = sum((g.square().sum() for g in gradients), torch.zeros(()))
    return norms
