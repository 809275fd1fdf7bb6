"""Names and colours of the methods, the same in every table, figure and page.

The colours are Okabe and Ito's, which people with the common colour blindnesses can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable

LABELS = {
    "strict_fair": "Strict fairness",
    "spos": "SPOS",
    "ef": "EF",
    "ef_scaled": "EF at lr/k",
    "one_shot": "One-Shot",
    "fixed": "Fixed path",
}
COLOURS = {
    "strict_fair": "#0072B2",
    "spos": "#D55E00",
    "ef": "#009E73",
    "ef_scaled": "#56B4E9",
    "one_shot": "#CC79A7",
    "fixed": "#7F7F7F",
}
SPARE = ("#E69F00", "#882255", "#44AA99", "#332288", "#999933", "#AA4499")
LEMMA_COLOURS = ("#0072B2", "#D55E00", "#009E73")
INK, GREY, GRID = "#1F2933", "#6B7785", "#E3E8EE"

PROTOCOLS = {
    "recalibrate": "batch-norm statistics recalibrated for every path",
    "running": "the supernet's running batch-norm statistics as they are",
    "batch": "batch-norm statistics of the batch at hand",
    "adapt": "batch-norm statistics adapted by a few forward passes",
}


def order(methods: Iterable[str]) -> list[str]:
    """Methods as tables list them: the known samplers first, strict fairness at the top, others by name."""
    known = list(LABELS)
    return sorted(methods, key=lambda m: (known.index(_sampler(m)) if _sampler(m) in known else len(known), m))


def label(method: str) -> str:
    """What a reader sees: `Strict fairness (irregular=pad)` for `strict_fair (irregular=pad)`."""
    return LABELS.get(_sampler(method), _sampler(method)) + method.removeprefix(_sampler(method))


def colours(methods: Iterable[str]) -> dict[str, str]:
    """A colour per method: a known sampler's own, spare ones for variants and newcomers."""
    spare = iter(SPARE * 10)
    return {method: COLOURS.get(method) or next(spare) for method in order(methods)}


def _sampler(method: str) -> str:
    return method.split(" ", 1)[0]
