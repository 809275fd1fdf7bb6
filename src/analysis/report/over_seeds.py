"""Mean of a figure over seeds with its spread and interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds, its standard deviation and its 95 % t interval; nan where too few seeds are known."""

    mean: float
    sd: float
    low: float
    high: float

    def columns(self, name: str) -> dict[str, float]:
        """All four as columns of a row: `name`, `name`_sd, `name`_low, `name`_high."""
        return {name: self.mean, f"{name}_sd": self.sd, f"{name}_low": self.low, f"{name}_high": self.high}

    def mean_and_sd(self, name: str) -> dict[str, float]:
        """The first two as columns of a row."""
        return {name: self.mean, f"{name}_sd": self.sd}

    def percent(self) -> str:
        """`20.0 ± 24.8`: a share in percent with half of the interval's width."""
        half = 100 * (self.high - self.mean)
        return f"{100 * self.mean:.1f}" + ("" if math.isnan(half) else f" ± {half:.1f}")


def over_seeds(values: Iterable[float | None]) -> SeedMean:
    """The mean of the known values, those that are neither None nor nan."""
    # A seed whose figure is undefined, such as tau of constant scores, is left out
    known = np.array([value for value in values if value is not None and not math.isnan(value)], dtype=float)
    if len(known) == 0:
        return SeedMean(math.nan, math.nan, math.nan, math.nan)
    mean = float(known.mean())
    if len(known) == 1:
        return SeedMean(mean, math.nan, math.nan, math.nan)
    sd = float(known.std(ddof=1))
    half = float(stats.t.ppf(0.975, len(known) - 1)) * sd / math.sqrt(len(known))
    return SeedMean(mean, sd, mean - half, mean + half)
