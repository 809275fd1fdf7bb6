"""Rankings beyond counting: how well networks are ordered apart from their size.

Small networks are worse than large ones, so that a prediction which follows their size has a high tau and says nothing
new. n architectures, R bootstrap resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from src.analysis.improvement import Vector, constant, known
from src.analysis.ranking import UNDEFINED, Estimate, drawn_times, estimate, pair_sums, tau_b, tau_of

GROUPS = 5
"""Groups of size within which architectures are compared."""


def beyond_counting(
    prediction: ArrayLike, truth: ArrayLike, size: ArrayLike, seed: int = 0, resamples: int = 1000
) -> Mapping[str, Estimate]:
    """Two taus of a prediction with the size of architectures (n,) held fixed, each with its 95 % interval.

    `partial` is Kendall's partial rank correlation (Kendall 1942), `within_fifths` is tau-b over the pairs of
    architectures that lie in one fifth of size, all five together. Architectures of equal size are in one fifth.
    A prediction that is the size plus noise is left with a little of both, less within fifths: sizes differ there
    still, and a partial tau is not 0 where truth and prediction depend on nothing but the size (Korn 1984). Undefined
    where the prediction, the truth or the size is constant; one of unknown truth or size is left out. The
    same seed draws the same architectures as the intervals of `ranking.kendall`.
    """
    x, y = known(prediction, truth)
    z = np.asarray(size, dtype=float)[~np.isnan(np.asarray(truth, dtype=float))]
    x, y, z = (stats.rankdata(values[~np.isnan(z)]) for values in (x, y, z))
    if any(map(constant, (x, y, z))):
        return {"partial": UNDEFINED, "within_fifths": UNDEFINED}
    times = drawn_times(len(x), seed, resamples)
    # partial: from the three taus, of the sample and of each resample
    pairs = ((x, y), (x, z), (y, z))
    value = partial(*(np.array(tau_b(a, b)) for a, b in pairs))
    resampled = partial(*(tau_of(pair_sums(a, b, times)) for a, b in pairs))
    # within fifths: sums over pairs add up
    fifths = np.floor(GROUPS * (z - 0.5) / len(z)).astype(int)
    whole = sum(_sums(x, y, fifths == fifth, np.ones((1, len(x)))) for fifth in np.unique(fifths))
    drawn = sum(_sums(x, y, fifths == fifth, times) for fifth in np.unique(fifths))
    return {
        "partial": _estimate(float(value), resampled),
        "within_fifths": _estimate(float(tau_of(np.asarray(whole))[0]), tau_of(np.asarray(drawn))),
    }


def above_counting(
    prediction: ArrayLike, truth: ArrayLike, counts: Mapping[str, ArrayLike], seed: int = 0, resamples: int = 1000
) -> tuple[str, Estimate] | None:
    """The count (n,) of the largest tau, and tau of the prediction minus it, with its paired 95 % interval.

    Both taus are taken of the same resampled architectures. None without a count that has a tau; undefined where the
    prediction has none. The count is the best on the architectures at hand, so the difference is rather too small.
    """
    return mean_above_counting([prediction], truth, counts, seed, resamples)[1]


def mean_above_counting(
    predictions: Sequence[ArrayLike],
    truth: ArrayLike,
    counts: Mapping[str, ArrayLike],
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[Estimate, tuple[str, Estimate] | None]:
    """Mean tau of several predictions (n,) of one truth, as of seeds, and the same minus the best count's tau.

    The intervals resample architectures, the same ones for every prediction and the count: they say what other
    architectures might do to the mean of these predictions, not what other seeds would predict. The difference is as
    in `above_counting`; undefined where one of the predictions has no tau.
    """
    y = stats.rankdata(known(truth, truth)[0])
    ranks = [stats.rankdata(known(prediction, truth)[0]) for prediction in predictions]
    counted = {name: stats.rankdata(known(count, truth)[0]) for name, count in counts.items()}
    own = [tau_b(x, y) for x in ranks]
    taus = {name: tau for name, count in counted.items() if not math.isnan(tau := tau_b(count, y))}
    best = max(taus, key=lambda name: taus[name], default=None)
    if any(map(math.isnan, own)):
        return UNDEFINED, None if best is None else (best, UNDEFINED)
    # one draw of architectures for all of them
    times = drawn_times(len(y), seed, resamples)
    resampled = np.mean([tau_of(pair_sums(x, y, times)) for x in ranks], axis=0)
    mean = float(np.mean(own))
    if best is None:
        return estimate(mean, resampled), None
    difference = estimate(mean - taus[best], resampled - tau_of(pair_sums(counted[best], y, times)))
    return estimate(mean, resampled), (best, difference)


def partial(xy: Vector, xz: Vector, yz: Vector) -> Vector:
    """(t_xy - t_xz t_yz) / sqrt((1 - t_xz^2) (1 - t_yz^2)); nan where a prediction or the truth is the size itself."""
    left = (1 - xz**2) * (1 - yz**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(left > 1e-9, (xy - xz * yz) / np.sqrt(left), np.nan)


def _sums(x: Vector, y: Vector, mask: NDArray[np.bool_], times: NDArray[np.float64]) -> NDArray[np.float64]:
    return pair_sums(x[mask], y[mask], times[:, mask])


def _estimate(value: float, resampled: Vector) -> Estimate:
    return UNDEFINED if math.isnan(value) else estimate(value, resampled)
