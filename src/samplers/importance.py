"""Probabilities from gradient norms, and how many cards of each choice a hand has (PA&DA, Lu et al. 2023).

m choices of a layer, g importances of choices, delta the share of a distribution that importance decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from src.runtime.errors import UsageError

LARGEST_WEIGHT = 1e4
"""Of a loss or a gradient: beyond it one update in thousands decides the weights."""
ROUNDING = 1e-9
"""Within which an expected number is whole."""


def smoothed(importances: Tensor, delta: float) -> Tensor:
    """p (m,) = delta g / sum(g) + (1 - delta) / m, of g (m,); uniform where all of g is 0."""
    total, uniform = importances.sum(), torch.full_like(importances, 1 / len(importances))
    # written so that delta = 0 gives 1 / m to the last bit
    return uniform if total == 0 else delta * importances / total + (1 - delta) * uniform


@dataclass(frozen=True)
class Smoothing:
    """delta of each epoch, linear from `start` to `end` over a run of `epochs` epochs."""

    start: float
    end: float
    epochs: float

    def after(self, epoch: int) -> float:
        """At the end of an epoch, counted from 0: for the draws of the next one."""
        return self.start + (self.end - self.start) * min(epoch / self.epochs, 1.0)

    @property
    def largest(self) -> float:
        """Over all draws of the run."""
        # of the epochs whose ends are followed by draws
        last = max(math.ceil(self.epochs) - 2, 0)
        return max(self.after(0), self.after(last))


def check_smoothing(key: str, start: float, end: float) -> None:
    """Refuse, by UsageError, shares outside of [0, 1]; `key` begins the names of both."""
    for name, value in ((f"{key}smoothing_start", start), (f"{key}smoothing_end", end)):
        if not (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1):
            raise UsageError(f"{name}={value}: give the share that importance decides, from 0 to 1")


def check_acts(option: str, smoothing: Smoothing) -> None:
    """Refuse, by UsageError, a run too short for what it learns; shares of 0 throughout are a choice."""
    if smoothing.largest == 0 < smoothing.end:
        raise UsageError(
            f"{option} learns from whole epochs, and acts from the third on: give budget.epochs above 2 (this run has "
            f"{smoothing.epochs:g}), or a smoothing_start above 0"
        )


class RunningMean:
    """Exponential means of values (K,) that are not all seen in every update; float64, on the CPU."""

    def __init__(self, count: int, memory: float) -> None:
        """`memory` is the share of the old value that stays when a new one is seen."""
        self.memory = memory
        self.values, self.weights = torch.zeros(2, count, dtype=torch.float64).unbind()

    def add(self, values: Tensor, seen: Tensor) -> None:
        """Take in values (K,) where `seen` (K,); the others stay."""
        self.values = torch.where(seen, self.memory * self.values + (1 - self.memory) * values, self.values)
        self.weights = torch.where(seen, self.memory * self.weights + (1 - self.memory), self.weights)

    @property
    def unbiased(self) -> Tensor:
        """(K,) without the share of the zeros that it began with; 0 where nothing was seen."""
        return torch.where(self.weights > 0, self.values / self.weights.clamp(min=1e-300), 0.0)

    @property
    def seen(self) -> Tensor:
        """(K,) whether a value was ever seen."""
        return self.weights > 0

    def state_dict(self) -> dict[str, Tensor]:
        """Means and weights."""
        return {"values": self.values.clone(), "weights": self.weights.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.values, self.weights = state["values"].clone(), state["weights"].clone()


def systematic(expected: Tensor, offset: float) -> Tensor:
    """(n,) int64, each the floor or the ceiling of `expected` (n,) >= 0, whose sum is a whole number, as is theirs.

    Systematic resampling: with `offset` uniform in [0, 1) the mean of each is what was expected.
    """
    # marks at offset, offset + 1, ...: each counts for the part of the running sum that it lies in
    edges = (expected.double().cumsum(0) - offset - ROUNDING).ceil().long()
    edges[-1] = round(float(expected.sum()))  # in exact arithmetic it is that already
    return edges.diff(prepend=edges.new_zeros(1))


def deck_counts(probabilities: Tensor, cards: int, offset: float) -> Tensor:
    """(m,) how many of `cards` M >= m cards show each choice: the floor or ceiling of M p, and one at least.

    Where M p is below 1 a choice has one card, and the others share the rest in proportion.
    """
    expected = cards * probabilities
    raised = torch.zeros_like(expected, dtype=torch.bool)
    # raising some to one card may bring others below it
    while (expected[~raised] < 1 - ROUNDING).any():
        raised |= expected < 1 - ROUNDING
        rest = probabilities * ~raised
        expected = torch.where(raised, 1.0, (cards - raised.sum()) * rest / rest.sum().clamp(min=1e-300))
    return systematic(expected, offset)
