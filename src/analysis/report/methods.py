"""Names of methods: sampler and order of images, those of their settings that were varied, the inter-choice weights.

`spos`, `strict_fair (irregular=pad)`, `spos+data_importance`, `spos, bias D=2`, `spos, split at 70 %`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from src.analysis.report.runs import TrainingRun

WORDED = ("_target_", "depth", "fraction", "epoch")
"""Keys of the section inter_choice that `kind` and `weights` speak of; others are named only where they vary."""

PLAIN_ORDER = "shuffle"

_NAME = re.compile(r"(?P<sampler>[^ ,]+)(?P<settings> \(.*\))?(?:, (?P<weights>[^()]+))?")


class Parts(NamedTuple):
    """A method's name taken apart: `strict_fair`, ` (irregular=pad)`, `bias D=2`; the last two may be empty."""

    sampler: str
    settings: str
    weights: str


def parts(method: str) -> Parts:
    """The inverse of `name`; a text that is no such name is all sampler."""
    match = _NAME.fullmatch(method)
    return Parts(*(part or "" for part in match.groups())) if match else Parts(method, "", "")


def name(run: TrainingRun, settings: Sequence[str], weights: str) -> str:
    """`settings` are `key=value` texts of the sampler, `weights` is "" where the runs do not differ in them."""
    varied = f" ({', '.join(settings)})" if settings else ""
    return drawn_by(run) + varied + (f", {weights}" if weights else "")


def drawn_by(run: TrainingRun) -> str:
    """Sampler and order of a run: `spos`, or `spos+data_importance` where images are not shuffled."""
    order = str(run.config["choices"].get("order") or PLAIN_ORDER)
    return run.sampler + (f"+{order}" if order != PLAIN_ORDER else "")


def without_weights(method: str) -> str:
    """The same sampler, with the same settings, in a plain supernet: `spos` for `spos, bias D=2`."""
    return "".join(parts(method)[:2])


def kind(run: TrainingRun) -> str:
    """`bias`, `shared bias`, `attention` or `split`; "" without inter-choice weights, as in runs older than these."""
    return "" if run.inter_choice == "none" else re.sub(r"(_\d+)+$", "", run.inter_choice).replace("_", " ")


def weights(run: TrainingRun) -> str:
    """`bias D=2`, `split at 70 %`, `split at epoch 125`: from the values, so that option names do not matter."""
    section = run.config.get("inter_choice") or {}
    # All kinds but `split` have a depth at most
    if kind(run) != "split":
        return f"{kind(run)} D={section['depth']}" if kind(run) and section.get("depth") else kind(run)
    if section.get("epoch") is not None:
        return f"split at epoch {section['epoch']:g}"
    return f"split at {100 * section['fraction']:g} %" if section.get("fraction") is not None else "split"


def all_weights(runs: Iterable[TrainingRun]) -> dict[TrainingRun, str]:
    """`weights` of each run, with the other settings of its section on which the runs of its kind differ."""
    kinds: dict[str, list[TrainingRun]] = defaultdict(list)
    for run in runs:
        kinds[kind(run)].append(run)
    # Settings beyond kind and weights are named only where runs of one kind differ in them
    names = {}
    for members in kinds.values():
        sections = {run: others(run) for run in members}
        for run, own in sections.items():
            differing = [key for key in own if len({repr(section.get(key)) for section in sections.values()}) > 1]
            names[run] = " ".join([weights(run), *(f"{key}={own[key]}" for key in differing)])
    return names


def others(run: TrainingRun) -> dict[str, Any]:
    """Settings of the inter-choice weights that their name does not tell."""
    section = (run.config.get("inter_choice") or {}) if kind(run) else {}
    return {key: value for key, value in section.items() if key not in WORDED}
