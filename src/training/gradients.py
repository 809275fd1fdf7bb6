"""Operations on gradients between the backward passes of an update and its optimizer step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from src.runtime.devices import move
from src.samplers.observation import GradientNorms
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


def clip(net: nn.Module, norm: float) -> Tensor:
    """Scale all gradients so that their common L2 norm is at most `norm`; returns the norm () that they had."""
    return torch.nn.utils.clip_grad_norm_(net.parameters(), norm)


def scale(net: Supernet, op_scales: Iterable[tuple[OpId, float]]) -> None:
    """Multiply the gradients of operations by a factor each."""
    for op, factor in op_scales:
        for parameter in parameters_of(net, op) if factor != 1 else ():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)


def fill_missing(net: nn.Module) -> None:
    """Give parameters without a gradient one of zeros: momentum and weight decay then move them too."""
    for parameter in net.parameters():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


def gradient_norms(net: Supernet, routes: Sequence[Route]) -> GradientNorms:
    """Norms of the gradients as they are now, of every operation that the routes run; not clipped yet."""
    # O operations, and the parameters of each that have a gradient
    ops = sorted({op for route in routes for op in net.operations(route)})
    used = [(i, p.grad) for i, op in enumerate(ops) for p in parameters_of(net, op) if p.grad is not None]
    every = [p.grad for p in net.parameters() if p.grad is not None]
    first = next(net.parameters())
    squared, sums = first.new_zeros(2, len(ops)).unbind()
    if used:
        # one fused call for all P parameters
        places, gradients = zip(*used, strict=True)
        norms = torch.stack(torch._foreach_norm(gradients))  # (P,)
        # sums by operation; index_add would sum in any order on a GPU, and processes must agree to the bit
        belongs = torch.tensor(places)[:, None] == torch.arange(len(ops))  # (P, O)
        weights = move(belongs.to(norms.dtype), first.device)
        squared, sums = (norms.square()[:, None] * weights).sum(0), (norms[:, None] * weights).sum(0)
    return GradientNorms(tuple(ops), squared, sums, torch.nn.utils.get_total_norm(every), first.new_ones(()))


def parameters_of(net: Supernet, op: OpId) -> list[nn.Parameter]:
    """All parameters of an operation; tied modules share some, which come once."""
    return list(dict.fromkeys(p for module in net.op_modules(op) for p in module.parameters()))


def clip_factor(norm: Tensor, most: float) -> Tensor:
    """() by which `clip` scales gradients of a common norm () to `most`."""
    return (most / (norm + 1e-6)).clamp(max=1.0)  # as torch computes it
