"""Rank correlation of predicted and true accuracies, with bootstrap intervals over the n architectures.

n architectures, R bootstrap resamples, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from src.analysis.concordance import concordances, untied
from src.analysis.improvement import Vector, constant, improvement_at, known, top

PAIRWISE_LIMIT = 2000
"""Above this n, resampled taus are linearised: tables of all pairs (n x n, 4 bytes each) would cost too much."""


@dataclass(frozen=True)
class Estimate:
    """A statistic of the sample at hand with its 95 % percentile-bootstrap interval."""

    value: float
    low: float
    high: float


UNDEFINED = Estimate(math.nan, math.nan, math.nan)


def kendall(prediction: ArrayLike, truth: ArrayLike, seed: int = 0, resamples: int = 1000) -> Estimate:
    """Kendall's tau-b, in [-1, 1]; the interval resamples architectures with replacement. nan if either is constant.

    The interval is exact up to n = PAIRWISE_LIMIT and linearised above. 0.2 s at n = 1,000 and at n = 15,625, with
    R = 1,000. The same seed draws the same architectures for any two predictions of one truth.
    """
    x, y = (stats.rankdata(v) for v in known(prediction, truth))
    if constant(x) or constant(y):
        return UNDEFINED
    return estimate(tau_b(x, y), tau_of(pair_sums(x, y, drawn_times(len(x), seed, resamples))))


def spearman(prediction: ArrayLike, truth: ArrayLike, seed: int = 0, resamples: int = 1000) -> Estimate:
    """Spearman's rho, in [-1, 1]: Pearson's r of ranks, each resample ranked anew. Draws and nan as in `kendall`."""
    x, y = known(prediction, truth)
    rho = spearman_rho(x, y)
    if math.isnan(rho):
        return UNDEFINED
    x_code, y_code = (np.unique(v, return_inverse=True)[1] for v in (x, y))
    draws = _draws(len(x), seed, resamples)
    return estimate(rho, np.array([pearson_r(_ranks(x_code[draw]), _ranks(y_code[draw])) for draw in draws]))


def pearson(prediction: ArrayLike, truth: ArrayLike, seed: int = 0, resamples: int = 1000) -> Estimate:
    """Pearson's r, in [-1, 1]. Draws and nan as in `kendall`; nan too if a prediction is nan or infinite."""
    x, y = known(prediction, truth)
    r = pearson_r(x, y)
    if math.isnan(r):
        return UNDEFINED
    # Moments of each resample by how often each architecture was drawn; centred first, or small differences cancel
    times, dx, dy = drawn_times(len(x), seed, resamples), x - x.mean(), y - y.mean()
    moments = times @ np.stack([dx, dy, dx * dx, dy * dy, dx * dy], 1) / len(x)
    mean_x, mean_y, xx, yy, xy = moments.T
    with np.errstate(invalid="ignore", divide="ignore"):  # a resample of one value alone is undefined
        rs = (xy - mean_x * mean_y) / np.sqrt((xx - mean_x**2) * (yy - mean_y**2))
    return estimate(r, np.clip(np.where(np.isfinite(rs), rs, np.nan), -1, 1))


def tau_b(x: Vector, y: Vector) -> float:
    """(concordant - discordant) / sqrt(pairs untied in x * pairs untied in y); nan if either is constant."""
    return math.nan if constant(x) or constant(y) else float(stats.kendalltau(x, y).statistic)


def spearman_rho(x: Vector, y: Vector) -> float:
    """Pearson's r of the ranks, where what is tied shares the mean rank."""
    return pearson_r(stats.rankdata(x), stats.rankdata(y))


def pearson_r(x: Vector, y: Vector) -> float:
    """Covariance / (sd of x * sd of y); nan if either is constant or not finite."""
    if constant(x) or constant(y) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return math.nan
    dx, dy = x - x.mean(), y - y.mean()
    return float(np.clip(dx @ dy / math.sqrt((dx @ dx) * (dy @ dy)), -1, 1))


@lru_cache(maxsize=1)  # the statistics of one truth share them; n = 15,625 takes 125 MB, and as much for `drawn_times`
def _draws(n: int, seed: int, resamples: int) -> NDArray[np.int64]:
    """Architectures (R, n) drawn with replacement: the same for every statistic of n architectures and a seed."""
    return np.random.default_rng(seed).integers(n, size=(resamples, n)) if n else np.empty((resamples, 0), np.int64)


@lru_cache(maxsize=1)
def drawn_times(n: int, seed: int, resamples: int) -> NDArray[np.float64]:
    """The number of times that each resample holds each architecture, (R, n)."""
    return np.stack([np.bincount(draw, minlength=n) for draw in _draws(n, seed, resamples)]).astype(np.float64)


def estimate(value: float, resampled: Vector) -> Estimate:
    """With the 2.5 and 97.5 % quantiles of the resampled values that are defined."""
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def _ranks(codes: NDArray[np.int64]) -> Vector:
    """Mean ranks of integers from 0 to G - 1, by counting: O(n + G), where sorting takes n log n."""
    times = np.bincount(codes)
    return np.asarray((np.cumsum(times) - (times - 1) / 2)[codes], dtype=np.float64)


def pair_sums(x: Vector, y: Vector, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (3, R) of resamples, rows of `times` (R, n): concordant minus discordant pairs, pairs untied in x, and in y.

    Every pair counts twice. Sums over disjoint sets of pairs add up.
    """
    return _sums_by_pairs(x, y, times) if len(x) <= PAIRWISE_LIMIT else _linearised_sums(x, y, times)


def tau_of(sums: NDArray[np.float64]) -> Vector:
    """tau-b (R,) of `pair_sums` (3, R); nan where no pair is untied, as in a draw that holds one value alone."""
    agreement, untied_x, untied_y = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        taus = agreement / np.sqrt(untied_x * untied_y)
    return np.clip(np.where(np.isfinite(taus), taus, np.nan), -1, 1)


def _sums_by_pairs(x: Vector, y: Vector, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """`pair_sums` as quadratic forms in how often each architecture was drawn.

    An architecture drawn twice is tied with itself in both, so its own pair drops out of all three sums.
    """
    times = times.astype(np.float32)
    sign_x, sign_y = (np.sign(v[:, None] - v).astype(np.float32) for v in (x, y))  # (n, n)
    each = [((times @ pairs) * times).sum(axis=1) for pairs in (sign_x * sign_y, np.abs(sign_x), np.abs(sign_y))]
    return np.stack(each).astype(np.float64)


def _linearised_sums(x: Vector, y: Vector, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """`pair_sums` by Hoeffding's projection: O(n log n) once, O(n) for each resample.

    A sum S over pairs, drawn w_i times each, is S(w) = S + 2 sum_i (w_i - 1) s_i + a remainder that is smaller than the
    second term by 1 / sqrt(n), where s_i is the part of S in which architecture i takes part.
    """
    per_item = np.stack([concordances(x, y), untied(x), untied(y)], 1)  # (n, 3)
    return np.asarray((2 * (times @ per_item) - per_item.sum(axis=0)).T, dtype=np.float64)


def null_sd(n: int) -> float:
    """Standard deviation of tau under no relation at all, without ties: 0.21 at n = 13, 0.039 at n = 300."""
    return math.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1))) if n > 1 else math.nan


def summary(
    prediction: ArrayLike, truth: ArrayLike, baselines: Mapping[str, ArrayLike], seed: int = 0
) -> dict[str, Any]:
    """A prediction's ranking in plain JSON values, beside what each baseline (a count per architecture) reaches.

    Architectures whose truth is nan are left out; `n` says how many remain. Undefined figures are None: correlations
    with a constant, and everything if the truth is constant. 1 s at n = 15,625, and 0.2 s more for each baseline.
    """
    x, y = known(prediction, truth)
    return {
        "n": len(x),
        "tau": plain(kendall(x, y, seed)),
        "spearman": plain(spearman(x, y, seed)),
        "pearson": plain(pearson(x, y, seed)),
        "null_sd": null_sd(len(x)) if len(x) > 1 else None,
        "top": top(x, y),
        "improvement_at_10": or_none(improvement_at(x, y)),
        "baselines": {name: plain(kendall(count, truth, seed)) for name, count in baselines.items()},
        "baselines_at_10": {name: or_none(improvement_at(count, truth)) for name, count in baselines.items()},
    }


def split_half(runs: ArrayLike, seed: int = 0, splits: int = 200) -> float:
    """Mean tau between the means of two halves of the seeds, `runs` (n, S): how well the ground truth repeats itself.

    Every way to halve the seeds, or `splits` random ones where there are more. It understates the mean over all S
    seeds, which averages twice as many as either half.
    """
    table = np.asarray(runs, dtype=float)
    halves = _halves(table.shape[1], splits, np.random.default_rng(seed))
    taus = [tau_b(table[:, half].mean(axis=1), np.delete(table, half, axis=1).mean(axis=1)) for half in halves]
    return float(np.mean(taus))


def _halves(seeds: int, splits: int, generator: np.random.Generator) -> list[list[int]]:
    """Columns of one half of each split; with an odd number of seeds this half is the smaller."""
    if seeds < 2:
        raise ValueError(f"split-half needs at least two seeds, not {seeds}")
    if math.comb(seeds, seeds // 2) <= splits:
        return [list(half) for half in combinations(range(seeds), seeds // 2)]
    return [generator.permutation(seeds)[: seeds // 2].tolist() for _ in range(splits)]


def plain(estimate: Estimate) -> dict[str, float | None]:
    """The estimate as JSON."""
    return {name: or_none(value) for name, value in asdict(estimate).items()}


def or_none(value: float) -> float | None:
    """JSON has no nan."""
    return None if math.isnan(value) else value


def accuracy_gap(one_shot: ArrayLike, alone: ArrayLike) -> dict[str, float]:
    """Ranges of both accuracies (n,) and the supernet accuracy gap lambda, their difference (FairNAS section 4.5)."""
    ranges = [float(np.ptp(np.asarray(values, dtype=float))) for values in (one_shot, alone)]
    return {"one_shot_range": ranges[0], "alone_range": ranges[1], "gap": abs(ranges[0] - ranges[1])}
