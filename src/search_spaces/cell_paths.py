"""Which paths of a supernet of NodeCells lead to which cell of NAS-Bench-101, and back.

n nodes of a cell. Several paths are one cell: nodes that lead nowhere are left out of it, and nodes have no names.
"""

from __future__ import annotations

import itertools
from functools import cached_property, lru_cache

from src.search_spaces.cell_101 import OPS, Cell101, hash_of
from src.supernet.node_cells import NodeGraph, live_nodes
from src.supernet.path import ArchPath

LETTERS = tuple(OPS)
"""The operations in the order of a node's choices."""
Edges = frozenset[tuple[int, int]]
"""(source, target) of the nodes on a way to the output, by their names in the supernet."""


class CellPaths:
    """The cells of one graph of nodes."""

    def __init__(self, graph: NodeGraph) -> None:
        self.graph = graph

    def cell(self, path: ArchPath) -> Cell101:
        """The cell of a path: without the nodes that lead nowhere."""
        edges, names = self._pruned(path)
        number = {node: i for i, node in enumerate(names)}
        ops = "".join(LETTERS[path[node - 1]] for node in names[1:-1])
        return Cell101.of_edges(ops, {(number[source], number[target]) for source, target in edges})

    def _pruned(self, path: ArchPath) -> tuple[Edges, list[int]]:
        """The edges of a path's cell by the nodes' names in the supernet, and these names in ascending order."""
        parents = self.graph.parents(path)
        names = sorted(live_nodes(parents))
        return frozenset((source, node) for node in names[1:] for source in parents[node - 1]), names

    @cached_property
    def _first_parents(self) -> dict[Edges, tuple[int, ...]]:
        """For each graph of named nodes, the first choice of parents that leads to it, in lexicographic order."""
        operations = (0,) * self.graph.nodes
        first: dict[Edges, tuple[int, ...]] = {}
        for choice in itertools.product(*map(range, self.graph.sizes[self.graph.nodes :])):
            first.setdefault(self._pruned((*operations, *choice))[0], choice)
        return first

    @lru_cache(maxsize=2**17)  # noqa: B019 - lives as long as its space
    def path_of(self, cell: Cell101) -> ArchPath | None:
        """The first path in lexicographic order to this cell, up to isomorphism; None if the space does not have it."""
        output, paths = self.graph.nodes + 1, list[ArchPath]()
        edges = cell.edges()
        # every way to name the inner vertices, as long as edges lead from smaller to larger names
        for names in itertools.permutations(range(1, output), len(cell.ops)):
            named = (0, *names, output)
            renamed = frozenset((named[source], named[target]) for source, target in edges)
            parents = self._first_parents.get(renamed)
            if parents is not None:
                ops = [0] * self.graph.nodes
                for name, letter in zip(names, cell.ops, strict=True):
                    ops[name - 1] = LETTERS.index(letter)
                paths.append((*ops, *parents))
        return min(paths, default=None)

    @cached_property
    def by_hash(self) -> dict[str, ArchPath]:
        """NAS-Bench-101's hash of every cell of the space -> its first path; variant 3 has 135,900 forms to hash."""
        # graphs by named nodes, each with every choice of operations; nodes that are left out have operation 0
        first: dict[str, ArchPath] = {}
        for edges, parents in self._first_parents.items():
            names = sorted({source for source, _ in edges} - {0})
            for choices in itertools.product(range(len(LETTERS)), repeat=len(names)):
                ops = [0] * self.graph.nodes
                for name, choice in zip(names, choices, strict=True):
                    ops[name - 1] = choice
                path = (*ops, *parents)
                key = hash_of(self.cell(path))
                first[key] = min(first.get(key, path), path)
        return first
