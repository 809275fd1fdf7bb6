"""Paths and routes: which decisions a forward pass of a supernet follows.

A path is one choice for each of L decisions, which are also called layers: in a layer-by-layer space a decision is a
layer, in a cell an edge, a node's operation or its set of parents. m choices of a layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch

from src.runtime.errors import UsageError

ArchPath = tuple[int, ...]
"""One choice per layer, each in [0, m)."""

Entry = int | torch.Tensor
"""One layer of a route: a choice in [0, m), or a vector (m,) of weights over the choices."""

Route = tuple[Entry, ...]
"""One entry per layer, (L,). A path is a route of ints."""

OpId = tuple[int, int]
"""An operation of a supernet, which may be several modules that are trained together.

(layer, choice) where it belongs to one choice of one layer; else its first number is L or more.
"""


def chosen(route: Route) -> list[tuple[int, int]]:
    """(layer, choice) of all that a route chooses, in order; weights choose what their weight is not 0 of."""
    return [
        (layer, choice)
        for layer, entry in enumerate(route)
        for choice in (entry.nonzero().flatten().tolist() if isinstance(entry, torch.Tensor) else [entry])
    ]


def format_path(path: Iterable[int]) -> str:
    """`(2, 0, 2)` as `2-0-2`."""
    return "-".join(str(choice) for choice in path)


def format_route(route: Route) -> str:
    """`2-{0,1}-2`: like a path, but a layer with weights lists the choices whose weight is not 0."""
    entries = (
        f"{{{','.join(str(c) for c in entry.nonzero().flatten().tolist())}}}"
        if isinstance(entry, torch.Tensor)
        else str(entry)
        for entry in route
    )
    return "-".join(entries)


def parse_path(text: object) -> ArchPath:
    """A path from `2-0-2`, from a list of ints, also as text `[2, 0, 2]`, or from one int (a space of one layer).

    Raises:
        UsageError: anything else; it shows the two accepted forms.
    """
    # A command line gives text, Hydra's lists a ListConfig, a space of one layer a bare int.
    parts: Any = text if isinstance(text, Iterable) else [text]
    if isinstance(text, str):
        listed = re.fullmatch(r"\s*[\[(](.*)[\])]\s*", text)
        parts = re.split(r"\s*,\s*|\s+", listed[1].strip()) if listed else text.split("-")
    try:
        return tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        raise UsageError(f"invalid path '{text}': expected one choice per layer, as 2-0-2 or [2,0,2]") from None
