"""The contract of a cell of a supernet: a small graph with choices, of which all cells of a net follow the same route.

B batch, C channels, H W size, m choices of a decision, L decisions of a path. `cells.Cell` has choices on its edges,
`node_cells.NodeCell` on its nodes; a new kind of graph is one more subclass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from src.supernet.choice import ChoiceBlock, Routing
from src.supernet.path import ArchPath, OpId, Route, chosen
from src.supernet.segment import Segment, State


class SharedCell(nn.Module, ABC):
    """A cell with all its operations, in a net of such cells."""

    sizes: tuple[int, ...]
    """Choices of each decision of a path, (L,)."""
    op_ids: tuple[OpId, ...] | None = None
    """All operations, where they are not the choices of the decisions one to one; else None."""
    share: int = 1
    """Consecutive blocks of so many are tied (`tied.tie`): their equal choices are one operation."""

    @abstractmethod
    def forward(self, x: Tensor, route: Route) -> Tensor:
        """(B, C, H, W) along a route of L entries to (B, C', H, W)."""

    @abstractmethod
    def blocks(self) -> list[ChoiceBlock]:
        """The choice block of each decision from the first on; later decisions may have none."""

    @abstractmethod
    def fixed(self, path: ArchPath) -> nn.Module:
        """The stand-alone cell of a path, made of these very modules."""

    @abstractmethod
    def modules_of(self, path: ArchPath) -> list[nn.Module]:
        """The modules that a path runs."""

    @abstractmethod
    def segments(self) -> list[Segment]:
        """The cell in pieces, from `begun(x)` to a state of which `ended` makes the output."""

    @abstractmethod
    def ancestors(self, layer: int, depth: int) -> tuple[int, ...]:
        """Blocks whose outputs reach block `layer` in `depth` hops at most, in ascending order."""

    def begun(self, x: Tensor) -> State:
        """The state before the first segment, of an input (B, C, H, W)."""
        return x

    def ended(self, state: State) -> Tensor:
        """The output (B, C', H, W), of the state after the last segment."""
        return state

    def run_all(self, xs: Tensor, routing: Routing) -> Tensor:
        """Every choice once: xs (m, B, C, H, W) of m paths to (m, B, C', H, W); only where all sizes are m."""
        raise TypeError(f"{type(self).__name__} has no static graph")

    def unreached(self, path: ArchPath) -> list[nn.Module]:
        """Operations that a path runs, and whose outputs never reach the cell's: they get no gradient."""
        return []

    def operations(self, route: Route) -> list[OpId]:
        """The operations that a route runs, each once."""
        return self.owners(chosen(route))

    def owners(self, ops: Sequence[OpId]) -> list[OpId]:
        """Choices of tied blocks as those of the first of them, each once."""
        return list(dict.fromkeys((block - block % self.share, choice) for block, choice in ops))

    def op_modules(self, op: OpId) -> list[nn.Module]:
        """The modules of one operation in all blocks that are tied, and their copies after a split."""
        first, choice = op
        tied = self.blocks()[first : first + self.share]
        return [module for block in tied for module in block.operations(choice)]
