"""Scores as sums of what each layer's choice is worth: main effects of an analysis of variance, fitted to all paths.

n paths of L layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def additive_fit(paths: Sequence[str], scores: ArrayLike) -> NDArray[np.float64]:
    """Scores (n,) as a constant and one effect of each layer's choice would have them: ordinary least squares.

    What a supernet gets wrong about single paths cancels in an effect, as many paths share a choice; what choices do
    together is lost with it. `paths` are written as `0-2-1`, the choices of layers 1 to L. As many effects as paths,
    or more, give the scores back.
    """
    choices = np.array([[int(choice) for choice in path.split("-")] for path in paths])
    # a column for every choice that a layer has among the paths; the smallest solution, as they sum to one in a layer
    indicators = [layer == choice for layer in choices.T for choice in np.unique(layer)]
    design = np.stack([np.ones(len(choices), bool), *indicators], axis=1).astype(float)
    effects = np.linalg.lstsq(design, np.asarray(scores, float), rcond=None)[0]
    return np.asarray(design @ effects, dtype=np.float64)
