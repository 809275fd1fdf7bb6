"""The variance of a supernet's gradient over an epoch (PA&DA supplement, appendix A, equations 14 and 15).

S steps of an epoch in which a weight was sampled, d its gradient then, R routes of an update.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from src.samplers.observation import Observation
from src.samplers.plan import Update
from src.supernet.dependences import tables
from src.supernet.supernet import Supernet
from src.training.gradients import parameters_of

RAW, CLIPPED = "raw", "clipped"
UNBIASED, RELATIVE = "unbiased", "relative"
PARTS = ("", "_choices", "_fixed")
"""All weights; those of operations; those of stem, reductions and tail."""
COLUMNS = (
    *(f"gradient_variance/{kind}{part}" for kind in (RAW, CLIPPED, UNBIASED, RELATIVE) for part in PARTS),
    "gradient_variance/unmeasured",
)
"""Of metrics.csv, where it is measured: of the last whole epoch."""


class Moments:
    """Mean and sum of squared deviations of each parameter's gradients, in one pass (Welford 1962)."""

    def __init__(self) -> None:
        self.steps: dict[nn.Parameter, int | Tensor] = {}
        """S; of a table (..., 1), since rows are sampled apart."""
        self.means: dict[nn.Parameter, Tensor] = {}
        self.squares: dict[nn.Parameter, Tensor] = {}

    @torch.no_grad()
    def add(self, gradients: dict[nn.Parameter, Tensor]) -> None:
        """Take in a gradient of each parameter that was sampled."""
        for parameter, d in gradients.items():
            if parameter not in self.steps:
                self.steps[parameter] = 0
                self.means[parameter], self.squares[parameter] = torch.zeros_like(d), torch.zeros_like(d)
            self.steps[parameter] = self.steps[parameter] + 1
        # three fused passes over all of them
        ds, parameters = list(gradients.values()), list(gradients)
        means, squares = ([kept[p].to(d.device) for p, d in gradients.items()] for kept in (self.means, self.squares))
        deviations = torch._foreach_sub(ds, means)
        torch._foreach_add_(means, torch._foreach_div(deviations, [float(self.steps[p]) for p in parameters]))
        torch._foreach_addcmul_(squares, deviations, torch._foreach_sub(ds, means))
        self.means |= zip(parameters, means, strict=True)
        self.squares |= zip(parameters, squares, strict=True)

    @torch.no_grad()
    def add_rows(self, table: nn.Parameter, d: Tensor) -> None:
        """Take in the gradient (m_1, ..., m_k, C) of a table: rows whose gradient is all 0 were not looked up."""
        used = (d != 0).any(-1, keepdim=True)
        if table not in self.steps:
            self.means[table], self.squares[table] = torch.zeros_like(d), torch.zeros_like(d)
        mean, square = self.means[table].to(d.device), self.squares[table].to(d.device)
        steps = torch.as_tensor(self.steps.get(table, 0), device=d.device) + used.to(d.dtype)
        deviation = d - mean
        mean = mean + torch.where(used, deviation / steps.clamp(min=1), 0.0)
        self.squares[table] = square + torch.where(used, deviation * (d - mean), 0.0)
        self.steps[table], self.means[table] = steps, mean

    def state_dict(self, numbers: dict[nn.Parameter, int]) -> dict[int, list[Tensor]]:
        """S, mean and sum of squares by the number of the parameter, on the CPU."""
        return {
            numbers[p]: [torch.as_tensor(kept).cpu().clone() for kept in (steps, self.means[p], self.squares[p])]
            for p, steps in self.steps.items()
        }

    def load_state_dict(self, state: dict[int, list[Tensor]], parameters: Sequence[nn.Parameter]) -> None:
        """Go on exactly where `state_dict` was taken; the tensors go to the weights' device with the next step."""
        for number, (steps, mean, square) in state.items():
            parameter = parameters[number]
            self.steps[parameter] = int(steps) if steps.ndim == 0 else steps
            self.means[parameter], self.squares[parameter] = mean, square


class GradientVariance:
    """sigma^2 = (1 / S) sum (d - mu)^2 of each scalar weight over the steps that sampled it, and its mean over weights.

    A gradient is divided by R first where it is a sum over R routes, so that methods compare. An operation that was
    sampled counts, also where its output never reached the loss: its gradient is 0 then. Rows of inter-choice tables
    count where their gradient is not 0. Keeps four numbers a weight.

    `raw` and `clipped` are equations 14 and 15 before and after clipping. Their sigma^2 is (S - 1) / S of the variance
    on average, and S differs between methods: `unbiased` divides by S - 1 instead, and `relative` is the sum of that
    over the sum of mu^2, less the part of mu^2 that is noise. `unmeasured` is how many weights were sampled less than
    twice, which are left out.
    """

    wants: frozenset[str] = frozenset()

    def __init__(self, net: Supernet, is_sum: bool) -> None:
        """`is_sum`: gradients are summed over the routes of an update, not averaged."""
        self.net, self.is_sum = net, is_sum
        ids = net.op_ids or [(layer, choice) for layer, size in enumerate(net.sizes) for choice in range(size)]
        operations = {parameter for op in ids for parameter in parameters_of(net, op)}
        in_blocks = {parameter for _, block in net.blocks() for parameter in block.parameters()}
        # in order: sums over weights follow it, and must be those of every run
        self.tables = dict.fromkeys(tables(net))
        self.fixed = {parameter for parameter in net.parameters() if parameter not in operations | in_blocks}
        """Of stem, reductions and tail: every step samples them."""
        self.moments = {RAW: Moments(), CLIPPED: Moments()}
        self.figures: dict[str, float] = {}
        """COLUMNS of the last whole epoch; empty before its end."""

    def add(self, kind: str, update: Update) -> None:
        """Take in the gradients of an update as they are now, RAW or CLIPPED."""
        share = 1 / len(update.routes) if self.is_sum else 1.0
        if kind == RAW:  # before gradients of what was not sampled are filled up
            self.sampled = self.sampled_by(update)
        gradients = {p: torch.zeros_like(p) if p.grad is None else p.grad * share for p in self.sampled}
        self.moments[kind].add(gradients)
        for table in self.tables:
            if table.grad is not None:
                self.moments[kind].add_rows(table, table.grad * share)

    def sampled_by(self, update: Update) -> list[nn.Parameter]:
        """The parameters that an update samples, tables apart.

        Of inter-choice weights, and of copies after a split, those that have a gradient: no operation names them.
        """
        ops = sorted({op for route in update.routes for op in self.net.operations(route)})
        chosen = [parameter for op in ops for parameter in parameters_of(self.net, op)]
        is_split = any(len(block.copies) for _, block in self.net.blocks())
        known = self.fixed if is_split else self.fixed | set(chosen)
        return [
            parameter
            for parameter in self.net.parameters()
            if parameter in known or (parameter.grad is not None and parameter not in self.tables)
        ]

    def observe(self, observation: Observation) -> None:
        """At the end of an epoch make its figures and begin anew."""
        if observation.end_of_epoch:
            self.figures = self.measured()
            self.moments = {RAW: Moments(), CLIPPED: Moments()}

    def measured(self) -> dict[str, float]:
        """COLUMNS of the epoch so far."""
        # sums over the scalar weights of a part: sigma^2 raw and clipped, unbiased sigma^2 and mu^2, weights
        raw, clipped = self.moments[RAW], self.moments[CLIPPED]
        parts: dict[bool, list[Tensor]] = {True: [], False: []}
        for parameter, square in raw.squares.items():
            mean = raw.means[parameter]
            count = torch.as_tensor(raw.steps[parameter], dtype=mean.dtype, device=mean.device).expand_as(mean)
            seen, fewer = count >= 2, (count - 1).clamp(min=1)
            unbiased = square / fewer
            each = [square / count.clamp(min=1), clipped.squares[parameter] / count.clamp(min=1), unbiased]
            each += [mean.square() - unbiased / count.clamp(min=1), torch.ones_like(mean)]
            parts[parameter in self.fixed].append(torch.stack([(value * seen).double().sum() for value in each]))
        sums = {
            is_fixed: torch.stack(rows).sum(0).cpu() if rows else torch.zeros(5) for is_fixed, rows in parts.items()
        }
        figures: dict[str, float] = {}
        for part, total in zip(PARTS, (sums[True] + sums[False], sums[False], sums[True]), strict=True):
            raw_sum, clipped_sum, variance, mean_square, weights = total.tolist()
            kinds = {RAW: raw_sum, CLIPPED: clipped_sum, UNBIASED: variance}
            figures |= {f"gradient_variance/{kind}{part}": over(value, weights) for kind, value in kinds.items()}
            figures[f"gradient_variance/{RELATIVE}{part}"] = over(variance, mean_square)
        measured = float((sums[True] + sums[False])[-1])
        figures["gradient_variance/unmeasured"] = sum(p.numel() for p in self.net.parameters()) - measured
        return {column: figures[column] for column in COLUMNS}

    def epoch_rows(self, labels: Tensor) -> list[dict[str, Any]]:
        """Rows of importance.csv about the last whole epoch."""
        return [{"figure": column.replace("/", "_"), "value": value} for column, value in self.figures.items()]

    def state_dict(self) -> dict[str, Any]:
        """The epoch so far, and the figures of the last one."""
        numbers = {parameter: number for number, parameter in enumerate(self.net.parameters())}
        moments = {kind: moments.state_dict(numbers) for kind, moments in self.moments.items()}
        return {"figures": dict(self.figures), "moments": moments}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.figures = dict(state["figures"])
        for kind, moments in state["moments"].items():
            self.moments[kind].load_state_dict(moments, list(self.net.parameters()))


def over(value: float, by: float) -> float:
    """A quotient; infinite where the mean gradient is no larger than its noise."""
    return value / by if by > 0 else math.inf
