"""The variance of a supernet's gradient over an epoch (PA&DA supplement, appendix A, equations 14 and 15).

S steps of an epoch in which a weight was sampled, d its gradient then, R routes of an update.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from src.samplers.observation import GRADIENT_NORMS, Observation
from src.supernet.dependences import tables
from src.supernet.inter_choice import is_split
from src.supernet.supernet import Supernet
from src.training.gradients import parameters_of

RAW, CLIPPED = 0, 1
COLUMNS = (
    "gradient_variance/raw",  # mean of sigma^2 over all scalar weights, before clipping
    "gradient_variance/raw_choices",  # over those of choices
    "gradient_variance/raw_fixed",  # over those of stem, reductions and tail
    "gradient_variance/clipped",  # the same of the gradients that the optimizer took
    "gradient_variance/clipped_choices",
    "gradient_variance/clipped_fixed",
    "gradient_variance/relative",  # sum of sigma^2 over sum of mu^2, before clipping
    "gradient_variance/relative_choices",
    "gradient_variance/relative_fixed",
    "gradient_variance/unmeasured",  # weights that were sampled less than twice, which are left out
)
"""Of metrics.csv, where it is measured: of the last whole epoch."""


class GradientVariance:
    """sigma^2 = (1 / S) sum (d - mu)^2 of each scalar weight over the steps that sampled it, and its mean over weights.

    Computed in one pass (Welford 1962): it keeps four numbers a weight, mean and sum of squares of raw and of clipped
    gradients. A gradient is divided by R first where it is a sum over R routes, so that methods compare. An operation
    that was sampled counts, also where its output never reached the loss: its gradient is 0 then. Rows of inter-choice
    tables count where their gradient is not 0.
    """

    wants = frozenset({GRADIENT_NORMS})

    def __init__(self, net: Supernet, is_sum: bool) -> None:
        """`is_sum`: gradients are summed over the routes of an update, not averaged."""
        self.net, self.is_sum = net, is_sum
        choices = {parameter for _, block in net.blocks() for parameter in block.parameters()}
        self.fixed = [parameter for parameter in net.parameters() if parameter not in choices]
        self.tables = set(tables(net))
        self.begin()
        self.figures: dict[str, float] = {}
        """COLUMNS of the last whole epoch; empty before its end."""

    def begin(self) -> None:
        """Begin an epoch."""
        self.steps: dict[nn.Parameter, int | Tensor] = {}
        """S of each parameter; of the rows (..., 1) of a table."""
        self.moments: dict[nn.Parameter, tuple[list[Tensor], list[Tensor]]] = {}
        """mu and the sum of squared deviations of each parameter, both [RAW, CLIPPED]."""

    def observe(self, observation: Observation) -> None:
        """Take in the gradients of an update, which the optimizer has left as they were."""
        assert observation.norms is not None
        sampled = self.sampled(observation)
        share = 1 / len(observation.update.routes) if self.is_sum else 1.0
        clipped = [torch.zeros_like(p) if p.grad is None else p.grad * share for p in sampled]
        # undo the clipping, by a factor that stays on the device
        raw = torch._foreach_mul(clipped, 1 / observation.norms.clip_factor.to(clipped[0].dtype))
        self.add(sampled, [list(pair) for pair in zip(raw, clipped, strict=True)])
        if observation.end_of_epoch:
            self.figures = self.measured()
            self.begin()

    def sampled(self, observation: Observation) -> list[nn.Parameter]:
        """The fixed parameters and those of all operations of an update; after a split only copies that ran."""
        ops = {op for route in observation.update.routes for op in self.net.operations(route)}
        chosen = [parameter for op in sorted(ops) for parameter in parameters_of(self.net, op)]
        copies = is_split(self.net)
        used = dict.fromkeys([*self.fixed, *chosen, *self.tables])
        return [p for p in used if p.grad is not None or not (copies or p in self.tables)]

    @torch.no_grad()
    def add(self, sampled: list[nn.Parameter], gradients: list[list[Tensor]]) -> None:
        """One step of Welford's algorithm on [raw, clipped] gradients of each sampled parameter."""
        for parameter, pair in zip(sampled, gradients, strict=True):
            if parameter not in self.moments:
                self.steps[parameter] = 0
                self.moments[parameter] = ([torch.zeros_like(d) for d in pair], [torch.zeros_like(d) for d in pair])
            # rows of a table that nobody looked up stay as they are
            used = (pair[CLIPPED] != 0).any(-1, keepdim=True) if parameter in self.tables else None
            count = self.steps[parameter] + (1 if used is None else used.to(pair[RAW].dtype))
            self.steps[parameter] = count
            means, squares = self.moments[parameter]
            deviations = torch._foreach_sub(pair, means)
            if used is None:
                torch._foreach_add_(means, torch._foreach_div(deviations, float(count)))
                torch._foreach_addcmul_(squares, deviations, torch._foreach_sub(pair, means))
            else:
                for d, deviation, mean, square in zip(pair, deviations, means, squares, strict=True):
                    mean += torch.where(used, deviation / torch.as_tensor(count).clamp(min=1), 0.0)
                    square += torch.where(used, deviation * (d - mean), 0.0)

    def measured(self) -> dict[str, float]:
        """COLUMNS of the epoch so far."""
        fixed = set(self.fixed)
        # sums over scalar weights of the fixed part and of the choices: sigma^2 raw, clipped, mu^2 raw, weights
        sums = {part: torch.zeros(4, dtype=torch.float64) for part in (True, False)}
        total = sum(parameter.numel() for parameter in self.net.parameters())
        for parameter, (means, squares) in self.moments.items():
            steps = self.steps[parameter]
            count = torch.as_tensor(steps, dtype=means[RAW].dtype, device=means[RAW].device).expand_as(means[RAW])
            seen = count >= 2
            values = [*(square / count.clamp(min=1) for square in squares), means[RAW].square(), torch.ones_like(count)]
            sums[parameter in fixed] += torch.stack([(v * seen).double().sum() for v in values]).cpu()
        both = sums[True] + sums[False]
        figures: dict[str, float] = {"gradient_variance/unmeasured": float(total - both[3])}
        for name, (raw, clipped, mean, weights) in (("", both), ("_choices", sums[False]), ("_fixed", sums[True])):
            for kind, value in (("raw", raw / weights), ("clipped", clipped / weights), ("relative", raw / mean)):
                figures[f"gradient_variance/{kind}{name}"] = float(value)
        return {column: figures[column] for column in COLUMNS}

    def epoch_rows(self, labels: Tensor) -> list[dict[str, Any]]:
        """Rows of importance.csv about the last whole epoch."""
        return [{"figure": column.replace("/", "_"), "value": value} for column, value in self.figures.items()]

    def state_dict(self) -> dict[str, Any]:
        """The epoch so far by number of the parameter, and the figures of the last one; on the CPU."""
        numbers = {parameter: number for number, parameter in enumerate(self.net.parameters())}
        return {
            "figures": dict(self.figures),
            "steps": {numbers[p]: torch.as_tensor(steps).cpu().clone() for p, steps in self.steps.items()},
            "moments": {
                numbers[p]: [[value.cpu().clone() for value in kind] for kind in kinds]
                for p, kinds in self.moments.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        parameters = list(self.net.parameters())
        self.figures = dict(state["figures"])
        for number, steps in state["steps"].items():
            parameter = parameters[number]
            device = parameter.device
            self.steps[parameter] = int(steps) if steps.ndim == 0 else steps.to(device)
            means, squares = ([value.to(device) for value in kind] for kind in state["moments"][number])
            self.moments[parameter] = (means, squares)
