"""Losses as sums of what each layer's choice is worth: main effects of an analysis of variance, fitted to all paths.

n paths of L layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

ADDITIVE = "additive_loss"
"""The score, and the column of a table that holds it; low is good, as of the loss."""
FAR = 6.0
"""Median absolute deviations: a loss farther above the median counts as that far, so that no path decides alone."""
DIGITS = 10
"""Decimals of a fit, so that fits that are equal but for rounding tie."""


def with_score(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """`table` with the column of score `by`, where it has none: `ADDITIVE`, from its columns path and loss."""
    if by != ADDITIVE:
        return table
    return table.assign(**{ADDITIVE: additive_loss(table["path"].tolist(), table["loss"])})


def additive_loss(paths: Sequence[str], losses: ArrayLike) -> NDArray[np.float64]:
    """`additive_fit` of losses (n,) in nats, those that are `FAR` above the median brought nearer.

    What a supernet gets wrong about single paths cancels in an effect, as many paths share a choice; what choices do
    together is lost with it. All nan if one loss is: a path without a loss has no place among the others.
    """
    values = np.asarray(losses, float)
    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    if len(finite := values[np.isfinite(values)]):
        middle = np.median(finite)
        highest = middle + FAR * np.median(np.abs(finite - middle))
        values = np.minimum(values, highest if highest > middle else finite.max())
    return np.round(additive_fit(paths, values), DIGITS)


def additive_fit(paths: Sequence[str], scores: ArrayLike) -> NDArray[np.float64]:
    """Scores (n,) as a constant and one effect of each layer's choice would have them: ordinary least squares.

    `paths` are written as `0-2-1`, the choices of layers 1 to L. So few paths that their effects are independent get
    their scores back.
    """
    choices = np.array([[int(choice) for choice in path.split("-")] for path in paths])
    # a column for every choice that a layer has among the paths; the smallest solution, as they sum to one in a layer
    indicators = [layer == choice for layer in choices.T for choice in np.unique(layer)]
    design = np.stack([np.ones(len(choices), bool), *indicators], axis=1).astype(float)
    effects = np.linalg.lstsq(design, np.asarray(scores, float), rcond=None)[0]
    return np.asarray(design @ effects, dtype=np.float64)
