"""Fairness of training: Lemma 1 of FairNAS, the moments of uniform sampling, and the spread of real counts.

m choices of a layer, n times that the layer was trained.
"""

from __future__ import annotations

import math

import pandas as pd


def equal_count_probability(m: int, n: int) -> float:
    """f(m, n) = n! / ((n/m)!^m m^n): the chance that n uniform draws hit all m choices equally often (Lemma 1).

    Through log-gamma, so n = 10^6 neither overflows nor takes longer.
    """
    if m < 1 or n < 0 or n % m:
        raise ValueError(f"equal counts need n to be a multiple of m >= 1, not m = {m}, n = {n}")
    return math.exp(math.lgamma(n + 1) - m * math.lgamma(n // m + 1) - n * math.log(m))


def uniform_count_mean(m: int, n: int) -> float:
    """E[Y] = n / m, how often one of m choices is trained in n uniform draws (FairNAS eq. 1)."""
    return n / m


def uniform_count_variance(m: int, n: int) -> float:
    """Var[Y] = n (m - 1) / m^2 under uniform draws (FairNAS eq. 1); strict fairness has 0."""
    return n * (m - 1) / m**2


def count_spread(counts: pd.DataFrame) -> pd.DataFrame:
    """Largest minus smallest count among the choices of each layer: columns step, layer, spread.

    `counts` has columns step, layer, choice, count (cumulative); a choice that was never trained has its row with 0.
    """
    count = counts.groupby(["step", "layer"])["count"]
    return (count.max() - count.min()).rename("spread").reset_index()


def worst_spread(counts: pd.DataFrame) -> pd.DataFrame:
    """The least even layer at each recorded step: columns step, spread."""
    return count_spread(counts).groupby("step")["spread"].max().reset_index()
