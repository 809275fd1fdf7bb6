"""Which networks of a small space are trained alone: all that differ, or a random sample of them.

n networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from src.runtime.errors import UsageError, unknown
from src.search_spaces.arch_option import listed_archs
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath


class Networks(NamedTuple):
    """The distinct networks of a space in lexicographic order of their paths, and what is not among them."""

    paths: list[ArchPath]
    """The canonical path of each network whose input reaches its output, (n,)."""
    dead: int
    """Paths whose output is zeros, whatever the input."""
    repeated: int
    """Paths that are the network of another path."""


def distinct_networks(space: SearchSpace) -> Networks:
    """All networks of a space, each once.

    Raises:
        UsageError: the space is too large to be listed.
    """
    listed = space.all_paths("paths=all")
    connected = [path for path in listed if space.is_connected(path)]
    paths = sorted({space.canonical(path) for path in connected})
    return Networks(paths, len(listed) - len(connected), len(connected) - len(paths))


def chosen_networks(space: SearchSpace, paths: str | int, whole_subset: str | None, seed: int) -> list[ArchPath]:
    """The networks that `paths` asks for: all, a file of them, or so many drawn uniformly, in lexicographic order.

    `whole_subset` names a subset of the space; its networks come besides, and are not among those drawn.

    Raises:
        UsageError: a space too large to be listed, more networks than it has, no such subset, or a wrong file.
    """
    if isinstance(paths, str) and paths != "all":
        return list(dict.fromkeys(listed_archs(Path(paths), space, "paths")))
    every = distinct_networks(space).paths
    if isinstance(paths, str):
        return every
    # the subset's own networks
    subsets = space.subsets(every)
    if whole_subset is not None and whole_subset not in subsets:
        raise unknown("whole_subset", whole_subset, subsets)
    is_in = subsets[whole_subset] if whole_subset is not None else [False] * len(every)
    whole = [path for path, member in zip(every, is_in, strict=True) if member]
    # and a draw without replacement from all others
    others = [path for path, member in zip(every, is_in, strict=True) if not member]
    if paths > len(others):
        raise UsageError(f"paths={paths}: {space.name} has {len(others):,} networks to draw from, so use paths=all")
    drawn = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[:paths].tolist()
    return sorted([*whole, *(others[i] for i in drawn)])
