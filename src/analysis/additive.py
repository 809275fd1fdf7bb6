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
"""Median absolute deviations above the median: a loss farther off counts as that far, so that no path decides alone."""
DIGITS = 10
"""Decimals of a fit: equal losses stay equal."""


def with_additive_loss(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the column `ADDITIVE`, from its columns path and loss."""
    return table.assign(**{ADDITIVE: additive_loss(table["path"].tolist(), table["loss"])})


def additive_loss(paths: Sequence[str], losses: ArrayLike) -> NDArray[np.float64]:
    """`additive_fit` of losses (n,) in nats, those that are `FAR` off brought nearer; all nan if one of them is.

    What a supernet gets wrong about single paths cancels in an effect, as many paths share a choice; what choices do
    together is lost with it.
    """
    values = np.asarray(losses, float)
    if np.isnan(values).any():
        return np.full(len(values), np.nan)
    if len(values):
        middle = np.median(values)
        highest = middle + FAR * np.median(np.abs(values - middle))
        values = np.minimum(values, highest if highest > middle else values[np.isfinite(values)].max(initial=0.0))
    return np.round(additive_fit(paths, values), DIGITS)


def additive_fit(paths: Sequence[str], scores: ArrayLike) -> NDArray[np.float64]:
    """Scores (n,) as a constant and one effect of each layer's choice would have them: ordinary least squares.

    `paths` are written as `0-2-1`, the choices of layers 1 to L. As many effects as paths, or more, give the scores
    back.
    """
    choices = np.array([[int(choice) for choice in path.split("-")] for path in paths])
    # a column for every choice that a layer has among the paths; the smallest solution, as they sum to one in a layer
    indicators = [layer == choice for layer in choices.T for choice in np.unique(layer)]
    design = np.stack([np.ones(len(choices), bool), *indicators], axis=1).astype(float)
    effects = np.linalg.lstsq(design, np.asarray(scores, float), rcond=None)[0]
    return np.asarray(design @ effects, dtype=np.float64)
