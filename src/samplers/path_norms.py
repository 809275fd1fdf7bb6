"""Running means of the gradient norms of candidates and of the paths that have them, made up once an epoch.

K candidates, O operations of an update, U updates of an epoch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from src.runtime.devices import move
from src.samplers.candidates import Candidates
from src.samplers.importance import RunningMean
from src.samplers.observation import Observation


class PathNorms:
    """Keeps each update's norms on the device and reads them at the end of an epoch."""

    def __init__(self, candidates: Candidates, after_clip: bool, memory: float, reset: bool) -> None:
        """`reset`: each epoch begins with means of 0, to which what is not seen then stays; else they go on."""
        self.candidates, self.after_clip, self.memory, self.reset = candidates, after_clip, memory, reset
        self.own = RunningMean(candidates.count, memory)
        """Of the sum of the norms of an operation's tensors: the mean over the operations that are the candidate.

        Scale and shift of batch norms are among the tensors, which the authors' code leaves out (its NAS-Bench-201 has
        none: affine=false). In an update of several paths gradients are summed: a candidate dealt n times has the norm
        of its sum over n, less than the mean of n norms, which pulls its share towards uniform.
        """
        self.squared = RunningMean(candidates.count, memory)
        """Of the squared norm of the whole gradient of the updates that the candidate is in."""
        self.resumed: dict[str, Tensor] = {}
        """What a checkpoint held of the epoch: `rows` (U, K + 2) and `used` (U, K)."""
        self.rows: list[Tensor] = []
        """Of each update (K + 2,): sums of norms by candidate, the whole norm, the clip factor; on the device."""
        self.used: list[Tensor] = []
        """Of each update (K,) bool: whether the candidate is in it."""

    def add(self, observation: Observation) -> None:
        """Keep one update, whose norms were asked for."""
        norms, update = observation.norms, observation.update
        assert norms is not None
        # (K, O): the mean over the operations that are one candidate, without the weight of the path's loss
        uses, weight = self.candidates.uses(update.routes), 1.0 if update.weights is None else update.weights[0]
        means = torch.zeros(self.candidates.count, len(norms.ops), dtype=norms.whole.dtype)
        for column, op in enumerate(norms.ops):
            index = self.candidates.index(op)
            if index is not None:
                means[index, column] = 1 / (uses[index] * weight)
        own = (move(means, norms.whole.device) * norms.tensor_sums).sum(1)
        self.rows.append(torch.cat([own, torch.stack([norms.whole / weight, norms.clip_factor])]))
        self.used.append(torch.tensor([index in uses for index in range(self.candidates.count)]))

    def learn(self) -> Tensor:
        """Take in the epoch that ends; returns the clip factors (U,)."""
        if self.reset:
            self.own, self.squared = (RunningMean(self.candidates.count, self.memory) for _ in range(2))
        epoch = self.epoch()
        rows = epoch["rows"].double()
        factors = rows[:, -1] if self.after_clip else torch.ones(len(rows), dtype=torch.float64)
        for row, factor, used in zip(rows, factors, epoch["used"], strict=True):
            own = row[:-2] * factor
            # a norm of 0 is that of an operation whose output never reached the loss
            self.own.add(own, own > 0)
            self.squared.add((row[-2] * factor).square().expand_as(own), used)
        self.resumed, self.rows, self.used = {}, [], []
        return rows[:, -1]

    def epoch(self) -> dict[str, Tensor]:
        """`rows` (U, K + 2) and `used` (U, K) of the epoch so far, on the CPU; empty before its first update."""
        # the one transfer: all rows on the device are joined there first
        now = {"rows": torch.stack(self.rows).cpu(), "used": torch.stack(self.used)} if self.rows else {}
        if not (now and self.resumed):
            return now or self.resumed
        return {key: torch.cat([self.resumed[key], now[key]]) for key in now}

    def values(self, mean: RunningMean) -> Tensor:
        """(K,) one of the two means; 0 for candidates that were never seen."""
        return mean.values if self.reset else mean.unbiased

    def importances(self, statistic: str, free_ops: str) -> Tensor:
        """g (K,) of all candidates, as of the last epoch's end; see PathImportance for the options."""
        has = self.candidates.has_parameters
        rms = self.values(self.squared).sqrt()
        g = {"own_sum": self.values(self.own), "path_rms": rms, "equal": has.double()}[statistic].clone()
        seen = {"own_sum": self.own.seen, "path_rms": self.squared.seen, "equal": has}[statistic]
        for place in (group.candidates for group in self.candidates.groups if group.candidates is not None):
            # own is a view of a group's choices
            own, observed, free = g[place], seen[place], ~has[place] & (statistic != "path_rms")
            if not observed.any():
                continue
            # without parameters there is no norm of one's own
            if free_ops != "floor":
                ratio = rms[place] / rms[place][observed].mean() if free_ops == "path_rms" else torch.ones_like(own)
                own[free] = own[observed].mean() * ratio[free]
            # not seen yet: the mean of the others; epochs that begin anew leave it at 0
            if not self.reset:
                own[~observed & ~free] = own[observed].mean()
        return g

    def state_dict(self) -> dict[str, Any]:
        """The means, and the updates of the epoch so far."""
        return {"own": self.own.state_dict(), "squared": self.squared.state_dict(), "epoch": self.epoch()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.own.load_state_dict(state["own"])
        self.squared.load_state_dict(state["squared"])
        self.resumed, self.rows, self.used = state["epoch"], [], []
