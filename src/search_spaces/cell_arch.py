"""Cells as text and as expressions: the benchmark's arch strings, and which cells compute the same function."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

from src.runtime.errors import UsageError, unknown
from src.supernet.cell_graph import NAS_BENCH_201
from src.supernet.path import ArchPath

Expression: TypeAlias = tuple[tuple[str, "Expression"], ...]
"""What a node sums up, sorted: (operation, what its source sums up); empty for a node of zeros."""


EDGES, NODES = NAS_BENCH_201.edges, NAS_BENCH_201.nodes
TEMPLATE = "+".join(
    "".join(f"|{{}}~{source}" for _, source in NAS_BENCH_201.incoming(node)) + "|" for node in range(1, NODES)
)
"""For each node after the first, an operation and a source per edge."""


def format_cell(ops: Sequence[str]) -> str:
    """`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
    return TEMPLATE.format(*ops)


@lru_cache(maxsize=2**15)  # tables of all 15,625 cells are read again and again
def parse_cell(text: str, options: tuple[str, ...]) -> tuple[str, ...]:
    """The operation of each edge.

    Raises:
        UsageError: another form, or an operation that is not among the options.
    """
    ops = re.findall(r"\|([^|~+]+)(?=~\d)", text)
    if len(ops) != len(EDGES) or format_cell(ops) != text:
        raise UsageError(f"'{text}' is not a cell: write |op~0|+|op~0|op~1|+|op~0|op~1|op~2| in quotes")
    for op in ops:
        if op not in options:
            raise unknown("operation", op, options)
    return tuple(ops)


def expression(ops: Sequence[str]) -> Expression:
    """The expression of the last node. Sums have no order; skips are transparent; zeros, and what they feed, vanish."""
    nodes: list[Expression] = [(("input", ()),)]
    for node in range(1, NODES):
        terms: list[tuple[str, Expression]] = []
        # a skip passes its node's terms on, zeros and edges from dead nodes add nothing
        for edge, source in NAS_BENCH_201.incoming(node):
            if ops[edge] == "skip_connect":
                terms += nodes[source]
            elif ops[edge] != "none" and nodes[source]:
                terms.append((ops[edge], nodes[source]))
        nodes.append(tuple(sorted(terms)))
    return nodes[-1]


@lru_cache(maxsize=4)
def first_paths(options: tuple[str, ...]) -> dict[Expression, ArchPath]:
    """For each function that cells of these operations compute, the first path to it in lexicographic order."""
    first: dict[Expression, ArchPath] = {}
    for path in itertools.product(range(len(options)), repeat=len(EDGES)):
        first.setdefault(expression([options[choice] for choice in path]), path)
    return first


def live_edges(ops: Sequence[str]) -> list[bool]:
    """For each edge, whether something of the input passes it and comes to the output."""
    fed, used = {0}, {NODES - 1}
    # forwards: nodes that the input reaches
    for op, (source, target) in zip(ops, EDGES, strict=True):
        if op != "none" and source in fed:
            fed.add(target)
    # backwards: nodes that reach the output
    for op, (source, target) in reversed([*zip(ops, EDGES, strict=True)]):
        if op != "none" and target in used:
            used.add(source)
    return [op != "none" and s in fed and t in used for op, (s, t) in zip(ops, EDGES, strict=True)]
