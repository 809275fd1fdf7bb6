"""An epoch of a sampler that learns its distributions, as rows of importance.csv.

m choices of a group of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from src.samplers.candidates import Candidates


def path_rows(
    candidates: Candidates,
    probabilities: Sequence[Tensor],
    draws: Sequence[Tensor],
    importances: Sequence[Tensor | None],
) -> list[dict[str, Any]]:
    """Rows of each group that learns, named by its first layer, and the share of draws of choices without parameters.

    Args:
        candidates: the groups.
        probabilities: (m,) of each group, that it drew from.
        draws: (m,) of each group, how often each choice was drawn.
        importances: (m,) of each group, learnt at the end; None for those that do not learn.
    """
    rows, free, drawn = list[dict[str, Any]](), 0, 0
    for group, p, times, g in zip(candidates.groups, probabilities, draws, importances, strict=True):
        if g is None or group.candidates is None:
            continue
        free += int(times[~candidates.has_parameters[group.candidates]].sum())
        drawn += int(times.sum())
        layer = group.layers[0]
        # in nats; at most log m
        rows.append({"figure": "entropy", "layer": layer, "value": float(-(p * p.clamp(min=1e-300).log()).sum())})
        for choice in range(group.size):
            at = {"layer": layer, "choice": choice, "name": group.names[choice]}
            values = {"probability": p[choice], "draws": times[choice], "importance": g[choice]}
            rows += [{"figure": figure, **at, "value": float(value)} for figure, value in values.items()]
    return [*rows, {"figure": "parameter_free_share", "value": free / drawn}]
