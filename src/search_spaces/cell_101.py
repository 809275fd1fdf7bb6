"""Cells as NAS-Bench-101 has them: a pruned graph with an operation on each inner vertex; its hash, widths and text.

V vertices, input and output among them; C channels.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from src.runtime.errors import UsageError

OPS = {"p": "maxpool3x3", "3": "conv3x3-bn-relu", "1": "conv1x1-bn-relu"}
"""Letter -> NAS-Bench-101's name."""
LABELS = {"3": 0, "1": 1, "p": 2}
"""Labels of operations in NAS-Bench-101's hash; the input's is -1, the output's -2."""
FORM = "nb101:<operations>:<matrix>"
HASH = re.compile(r"[0-9a-f]{32}")


class Cell101(NamedTuple):
    """A cell in which every vertex lies on a way from the input to the output."""

    ops: str
    """A letter of OPS for each inner vertex, in topological order, (V - 2,)."""
    matrix: str
    """`1` or `0` for each pair of vertices: the upper triangle of the adjacency matrix by rows."""

    @property
    def vertices(self) -> int:
        """V"""
        return len(self.ops) + 2

    def edges(self) -> list[tuple[int, int]]:
        """(source, target) vertices, 0 the input and V - 1 the output, by source."""
        pairs = itertools.combinations(range(self.vertices), 2)
        return [pair for pair, bit in zip(pairs, self.matrix, strict=True) if bit == "1"]

    def __str__(self) -> str:
        """`nb101:331p:...`, as tables name a cell."""
        return f"nb101:{self.ops}:{self.matrix}"

    @classmethod
    def of_edges(cls, ops: str, edges: set[tuple[int, int]]) -> Cell101:
        """The cell of a set of (source, target)."""
        pairs = itertools.combinations(range(len(ops) + 2), 2)
        return cls(ops, "".join(str(int(pair in edges)) for pair in pairs))

    @classmethod
    def parse(cls, text: str) -> Cell101:
        """A cell from its text.

        Raises:
            UsageError: another form, a matrix of another size, or a vertex that is on no way through the cell.
        """
        form = re.fullmatch(r"nb101:([p31]{1,5}):([01]+)", text)
        if form is None or len(form[2]) != (len(form[1]) + 2) * (len(form[1]) + 1) // 2:
            raise UsageError(f"'{text}' is not a cell: write {FORM}, or NAS-Bench-101's hash of 32 letters")
        cell = cls(form[1], form[2])
        edges = cell.edges()
        if {*range(cell.vertices - 1)} != {s for s, _ in edges} or {*range(1, cell.vertices)} != {t for _, t in edges}:
            raise UsageError(f"'{text}' has a vertex without an edge to or from it: leave it out")
        return cell


@lru_cache(maxsize=2**17)
def hash_of(cell: Cell101) -> str:
    """NAS-Bench-101's hash, the same for all isomorphic cells (Ying et al. 2019, after a Weisfeiler-Lehman test)."""
    edges, inner = cell.edges(), [LABELS[op] for op in cell.ops]
    sources: list[list[int]] = [[] for _ in range(cell.vertices)]
    targets: list[list[int]] = [[] for _ in range(cell.vertices)]
    for source, target in edges:
        sources[target].append(source)
        targets[source].append(target)
    # each vertex by its degrees and its label, then V times by those of its neighbours
    labels = [-1, *inner, -2]
    hashes = [_md5(str((len(targets[v]), len(sources[v]), labels[v]))) for v in range(cell.vertices)]
    for _ in range(cell.vertices):
        into = ["".join(sorted(hashes[s] for s in sources[v])) for v in range(cell.vertices)]
        out = ["".join(sorted(hashes[t] for t in targets[v])) for v in range(cell.vertices)]
        hashes = [_md5(f"{i}|{o}|{own}") for i, o, own in zip(into, out, hashes, strict=True)]
    return _md5(str(sorted(hashes)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def vertex_channels(cell: Cell101, inputs: int, outputs: int) -> list[int]:
    """C of each vertex (V,), by NAS-Bench-101's rule.

    The output's channels are divided among the vertices that lead to it, the first ones take the remainder; every other
    vertex is as wide as the widest one it leads to.
    """
    last, edges = cell.vertices - 1, cell.edges()
    # vertices that lead to the output share its channels
    ends = [source for source, target in edges if target == last and source > 0]
    width, remainder = divmod(outputs, len(ends))
    channels = [inputs, *[0] * len(cell.ops), outputs]
    for i, vertex in enumerate(ends):
        channels[vertex] = width + (i < remainder)
    # backwards, so that what a vertex leads to is known
    for vertex in reversed(range(1, last)):
        if vertex not in ends:
            channels[vertex] = max(channels[target] for source, target in edges if source == vertex)
    return channels


class Conv(NamedTuple):
    """A convolution with BN and ReLU in a cell."""

    inputs: int
    outputs: int
    kernel: int


def convolutions(cell: Cell101, inputs: int, outputs: int) -> Iterator[Conv]:
    """All convolutions of a cell of so many channels: its operations, and a 1x1 for each edge from the input."""
    channels = vertex_channels(cell, inputs, outputs)
    # projections of the input, then operations
    for source, target in cell.edges():
        if source == 0:
            yield Conv(inputs, channels[target], 1)
    for vertex, op in enumerate(cell.ops, 1):
        if op != "p":
            yield Conv(channels[vertex], channels[vertex], int(op))
