"""The network spaces that an evaluation of Elite Spaces compares, and networks drawn from them.

Of one target: the Elite Space of each search, other spaces of its cost drawn at random, the space with the largest
share of hits, and the whole expanded space. A network hits if its cost is within a tenth of the target. L decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from src.runtime.seeds import mix
from src.search_spaces.network_spaces import NEAR, NetworkSpaces, hit_share
from src.search_spaces.regimes import first_shares, regimes
from src.supernet.path import ArchPath

ELITE, RIVAL, BEST, WHOLE = "Elite Space", "space of equal cost", "best space by counting", "expanded space"
ELITE_UNCONDITIONED = "Elite Space, any cost"
ARMS = (ELITE, RIVAL, BEST, WHOLE, ELITE_UNCONDITIONED)
CHUNK = 10_000
"""Networks drawn at a time until enough of them hit."""
ROUNDS = 1_000
"""Chunks without enough hits until a space is held to have none."""


class Search(NamedTuple):
    """A finished network space search."""

    name: str
    """Its run folder."""
    seed: int
    target: float
    ranges: tuple[str, ...]
    """`1-2` for each decision, the Elite Space."""


class Space(NamedTuple):
    """A network space as an arm of the comparison has it."""

    arm: str
    """One of ARMS."""
    target: float
    ranges: tuple[str, ...] | None
    """None: the whole space."""
    search: str | None
    """The search whose Elite Space it is."""
    seed: int = 0
    """Of that search."""

    @property
    def name(self) -> str:
        """`1-2,9-16,...`, or `all`."""
        return "all" if self.ranges is None else ",".join(self.ranges)


def compared_spaces(
    spaces: NetworkSpaces, of: str, searches: Sequence[Search], rivals: int, seed: int
) -> dict[float, list[Space]]:
    """The spaces of each target; `rivals` of equal cost are drawn by `seed`."""
    targets = sorted({search.target for search in searches})
    compared = {}
    for target, regime in zip(targets, regimes(spaces, of, targets), strict=True):
        # those that learnt something first, then what they are compared with
        own = [search for search in searches if search.target == target]
        each: list[Space] = []
        for search in own:
            each += [Space(a, target, search.ranges, search.name, search.seed) for a in (ELITE, ELITE_UNCONDITIONED)]
        others = equal_cost_spaces(spaces, of, target, [search.ranges for search in own], rivals, seed)
        each += [Space(RIVAL, target, ranges, None) for ranges in others]
        compared[target] = [
            *each,
            Space(BEST, target, tuple(regime.ranges), None),
            Space(WHOLE, target, None, None),
        ]
    return compared


def equal_cost_spaces(
    spaces: NetworkSpaces, of: str, target: float, elite: Sequence[tuple[str, ...]], count: int, seed: int
) -> list[tuple[str, ...]]:
    """Up to `count` random spaces, no Elite Spaces, with at least half of the mean share of hits of these.

    Elite Spaces without a hit do not count; where none has one there is nothing to be as near as.
    """
    shares = [share_of_hits(spaces, of, target, indices(spaces, ranges)) for ranges in elite]
    shares = [share for share in shares if share > 0]
    if not shares or not count:
        return []
    least = sum(shares) / len(shares) / 2
    # a few draws of every space leave out most of them, more draws decide
    generator = torch.Generator().manual_seed(seed)
    every = torch.cartesian_prod(*(torch.arange(number) for number in spaces.counts))
    rough = torch.cat([first_shares(spaces, of, chunk, [target], generator)[0] for chunk in every.split(CHUNK)])
    likely = every[rough >= least / 2]
    chosen: list[tuple[str, ...]] = []
    for at in torch.randperm(len(likely), generator=generator).tolist():
        ranges = likely[at].tolist()
        names = tuple(spaces.names(layer)[k] for layer, k in enumerate(ranges))
        if names not in elite and share_of_hits(spaces, of, target, ranges) >= least:
            chosen.append(names)
        if len(chosen) == count:
            break
    return sorted(chosen)


def indices(spaces: NetworkSpaces, ranges: Sequence[str]) -> list[int]:
    """Names of ranges as their numbers in each decision."""
    return [spaces.names(layer).index(name) for layer, name in enumerate(ranges)]


def share_of_hits(spaces: NetworkSpaces, of: str, target: float, ranges: Sequence[int] | None) -> float:
    """Share of a space's networks that hit, by many draws; `ranges` None: of the whole space."""
    if ranges is not None:
        return hit_share(spaces.drawn_costs(of, ranges), target).item()
    drawn = spaces.draw(100 * CHUNK, torch.Generator().manual_seed(0))
    return hit_share(spaces.costs_of(of, drawn), target).item()


def draw_networks(
    spaces: NetworkSpaces, of: str, space: Space, count: int, seed: int, hits_only: bool = True
) -> list[ArchPath]:
    """`count` paths drawn uniformly from the networks of a space that hit its target, or from all of them.

    Fewer if the space has next to none that hit. Every arm draws for itself, and every search too: where two chose one
    space their networks are two samples of it.
    """
    # a generator of its own: arms may come and go, and the others keep their networks
    key = f"{space.arm} {space.name} {space.seed}"
    generator = torch.Generator().manual_seed(mix(seed, int(space.target), *map(ord, key)))
    paths: list[ArchPath] = []
    for _ in range(ROUNDS):
        if space.ranges is None:
            drawn = spaces.draw(CHUNK, generator)
        else:
            (drawn,) = spaces.draw_in(torch.tensor([indices(spaces, space.ranges)]), CHUNK, generator)
        if hits_only:
            drawn = drawn[(spaces.costs_of(of, drawn) - space.target).abs() <= NEAR * space.target]
        # a network twice would count its error twice
        paths = list(dict.fromkeys([*paths, *(tuple(row) for row in drawn[:count].tolist())]))
        if len(paths) >= count:
            break
    return paths[:count]
