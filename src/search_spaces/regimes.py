"""Near a target cost: how many networks hit it, in a whole space and in the network space that hits it most.

All of it is counting. It is what Table 1 of the Network Space Search supplement says of samples and deviations, which
no training is needed for. S spaces, L decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from src.search_spaces.network_spaces import HIT_DRAWS, NEAR, NetworkSpaces, hit_share

WHOLE_DRAWS = 1_000_000
"""Networks of the whole space that are drawn."""
FIRST_DRAWS = 64
"""Networks of each network space, to find the best ones."""
FINALISTS = 64
"""Spaces that are drawn from again, for each target."""
CHUNK = 16_384
"""Spaces at a time."""
TRIES = 5
"""Networks drawn from a space before one is chosen."""


class Regime(NamedTuple):
    """One target."""

    target: float
    share: float
    """Of the whole space's networks within a tenth of the target."""
    first_deviation: float | None
    """Mean |F / F_t - 1| of the first network that hits, drawn from the whole space; None if none was drawn."""
    ranges: list[str]
    """The network space with the largest share."""
    best_share: float
    in_five: float
    """Chance that five draws from it hold a hit."""
    deviation: float
    """Mean over five draws of the smallest |F / F_t - 1|."""


def regimes(spaces: NetworkSpaces, of: str, targets: Sequence[float]) -> list[Regime]:
    """Count near each target; the same in every call.

    Raises:
        UsageError: a target that no network reaches.
    """
    for target in targets:
        spaces.check_target("targets", of, target)
    generator = torch.Generator().manual_seed(0)
    # what drawing at random until a network hits would have to go through
    whole = spaces.costs_of(of, spaces.draw(WHOLE_DRAWS, generator))
    # a few networks of every space, to find those that hit each target most often
    every = torch.cartesian_prod(*(torch.arange(count) for count in spaces.counts))
    shares = [first_shares(spaces, of, chunk, targets, generator) for chunk in every.split(CHUNK)]
    results = []
    for target, share in zip(targets, torch.cat(shares, 1), strict=True):
        # the best of a few draws are lucky ones: draw again, and more
        finalists = every[share.topk(min(FINALISTS, len(every))).indices]
        costs = torch.stack([spaces.drawn_costs(of, ranges) for ranges in finalists.tolist()])
        refined = hit_share(costs, target)
        best = int(refined.argmax())
        p = refined[best].item()
        deviations = (costs[best] / target - 1).abs().view(HIT_DRAWS // TRIES, TRIES).min(1).values
        names = [spaces.names(layer)[k] for layer, k in enumerate(finalists[best].tolist())]
        near = (whole / target - 1).abs()
        near = near[near <= NEAR]
        results.append(
            Regime(
                target,
                len(near) / len(whole),
                float(near.mean()) if len(near) else None,
                names,
                p,
                1 - (1 - p) ** TRIES,
                float(deviations.mean()),
            )
        )
    return results


def first_shares(
    spaces: NetworkSpaces, of: str, ranges: Tensor, targets: Sequence[float], generator: torch.Generator
) -> Tensor:
    """(targets, S) share of FIRST_DRAWS networks of each space (S, L) within a tenth of each target."""
    choices = spaces.draw_in(ranges, FIRST_DRAWS, generator)
    costs = spaces.costs_of(of, choices.flatten(0, 1)).view(len(ranges), FIRST_DRAWS)
    return torch.stack([hit_share(costs, target) for target in targets])
