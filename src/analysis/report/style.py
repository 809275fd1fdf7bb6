"""Names and colours of the methods, the same in every table, figure and page.

The colours are Okabe and Ito's, which people with the common colour blindnesses can tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from src.analysis.report.methods import parts

LABELS = {
    "strict_fair": "Strict fairness",
    "spos": "SPOS",
    "ef": "EF",
    "ef_scaled": "EF at lr/k",
    "one_shot": "One-Shot",
    "fixed": "Fixed path",
    "strict_fair+data_importance": "Strict fairness + DA",
    "spos+data_importance": "DA",
    "path_importance": "PA",
    "path_importance+data_importance": "PA&DA",
    "path_importance_unbiased+data_importance_unbiased": "PA&DA, unbiased",
    "path_importance_unbiased": "PA, unbiased",
    "path_schedule": "PA's schedule alone",
    "path_schedule+data_importance": "PA's schedule + DA",
    "size_proportional": "By size",
    "distinct": "Distinct networks",
    "uniform_accumulated": "m uniform paths an update",
    "fair_sequential": "Fair, an update a path",
    "network_space_search": "Network space search",
}
COLOURS = {
    "strict_fair": "#0072B2",
    "spos": "#D55E00",
    "ef": "#009E73",
    "ef_scaled": "#56B4E9",
    "one_shot": "#CC79A7",
    "fixed": "#7F7F7F",
    "path_importance+data_importance": "#882255",
    "path_importance": "#CC6677",
    "spos+data_importance": "#DDCC77",
    "path_schedule": "#117733",
    "path_importance_unbiased+data_importance_unbiased": "#88CCEE",
    "path_importance_unbiased": "#332288",
    "path_schedule+data_importance": "#44AA99",
    "strict_fair+data_importance": "#6F8FBF",
    "size_proportional": "#999933",
    "distinct": "#AA4499",
    "uniform_accumulated": "#E69F00",
    "fair_sequential": "#661100",
}
WEIGHTS = {  # purples where something is added to an op's input, greens where its weights are copied
    "bias": ("#AB8FDB", "#7E57C2", "#43268A"),
    "shared bias": ("#C2569B", "#8E2A6B"),
    "attention": ("#E69F00", "#A66F00"),
    "split": ("#68BD97", "#1B9E77", "#005A43"),
}
SPARE = (
    *("#E69F00", "#882255", "#44AA99", "#332288", "#999933", "#AA4499"),
    *("#88CCEE", "#661100", "#6699CC", "#DDCC77", "#117733", "#CC6677", "#AA7744", "#555555"),
)
LEMMA_COLOURS = ("#0072B2", "#D55E00", "#009E73")
VIRIDIS = (
    "#440154",
    "#482878",
    "#3e4989",
    "#31688e",
    "#26828e",
    "#1f9e89",
    "#35b779",
    "#6ece58",
    "#b5de2b",
    "#fde725",
)
"""Matplotlib's scale for values without a middle."""

SCORES = {
    "accuracy": "one-shot accuracy",
    "loss": "one-shot loss",
    "mean_rank": "mean of both scores' ranks",
    "additive_loss": "one-shot loss as a sum over layers",
}
"""Scores of a path, by the names of `ranking.by`."""

PROTOCOLS = {
    "recalibrate": "batch-norm statistics recalibrated for every path",
    "running": "the supernet's running batch-norm statistics as they are",
    "batch": "batch-norm statistics of the batch at hand",
    "adapt": "batch-norm statistics adapted by a few forward passes",
}


BASELINES = {
    "params": "counting parameters",
    "macs": "counting multiply-adds",
    "mb_blocks": "counting MB blocks",
    "e3_blocks": "counting blocks of expansion 3",
    "working_layers": "counting working layers",  # in runs from before the counts were completed
    "ceiling": "noise ceiling",
    "synflow": "synflow, nothing trained",
    "naswot": "NASWOT, nothing trained",
    "swap": "SWAP, nothing trained",
    "grad_norm": "gradient norm, nothing trained",
}


def order(methods: Iterable[str]) -> list[str]:
    """Methods as tables list them: known samplers first, strict fairness at the top, plain supernets before others."""
    return sorted(methods, key=sort_key)


def sort_key(method: str) -> tuple[int, str, str, int, list[int], str]:
    """By sampler, its settings, kind of weights, and numbers in them by value: epoch 75 comes before epoch 125."""
    sampler, settings, weights = parts(method)
    # Unknown samplers and kinds come after the known ones, by name
    known, kinds = list(LABELS), ["", *WEIGHTS]
    place = known.index(sampler) if sampler in known else len(known)
    rank = kinds.index(kind(method)) if kind(method) in kinds else len(kinds)
    return place, sampler, settings, rank, [int(digits) for digits in re.findall(r"\d+", weights)], method


def label(method: str) -> str:
    """The name that readers see: `Strict fairness (irregular=pad)` for `strict_fair (irregular=pad)`."""
    sampler = parts(method).sampler
    return LABELS.get(sampler, sampler) + method.removeprefix(sampler)


def score_label(score: str, bn: str = "") -> str:
    """An axis label that names score, unit and batch-norm protocol: `one-shot accuracy, % (BN recalibrate)`."""
    return SCORES[score] + (", %" if score == "accuracy" else "") + (f" (BN {bn})" if bn else "")


def baseline_label(name: str) -> str:
    """`counting parameters` for `params`."""
    return BASELINES.get(name, f"counting {name}".replace("_", " "))


def colours(methods: Iterable[str]) -> dict[str, str]:
    """One colour for each method: a known sampler's own, a shade for each kind of weights, spare ones for newcomers.

    Shades and spare colours go by the order of `methods`: give all of a comparison, even those without data.
    """
    # Iterators: each method of a kind takes the next shade
    shades = {kind: iter(each) for kind, each in WEIGHTS.items()}
    spare = iter(SPARE * 10)
    return {m: COLOURS.get(m) or next(shades.get(kind(m), spare), None) or next(spare) for m in order(set(methods))}


def kind(method: str) -> str:
    """`bias` of `spos, bias D=2`; weights of no known kind as they are called."""
    weights = parts(method).weights
    return next((kind for kind in WEIGHTS if weights.startswith(kind)), weights)
