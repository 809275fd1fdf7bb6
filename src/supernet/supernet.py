"""The contract of a supernet: all that training, scoring, counting and extraction ask of a weight-sharing network.

B batch, C channels, H W size, R routes, m choices of a layer. A layer-by-layer space builds a
`layerwise.LayerwiseSupernet`, a space of cells a `cell_net.CellNet`; a new graph is one more subclass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from src.supernet.choice import ChoiceBlock, Routing
from src.supernet.path import ArchPath, OpId, Route, chosen
from src.supernet.segment import Segment


class Supernet(nn.Module, ABC):
    """Every network of a space in one; which of them runs is passed in with each call, never stored in the net."""

    is_masked: bool = False
    """Whether choices are prefixes of shared kernels, widths and depths, instead of operations of their own."""

    stem: nn.Module
    """Images (B, C, H, W) to the first feature map; has no choice, so a window runs it once for all its routes."""

    @property
    def op_ids(self) -> tuple[OpId, ...] | None:
        """All operations, where they are not the choices of the decisions one to one; else None."""
        return None

    @property
    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Choices of each decision of a path, (L,)."""

    @abstractmethod
    def forward(self, x: Tensor, route: Route) -> Tensor:
        """Images (B, C, H, W) through one route: logits (B, classes)."""

    @abstractmethod
    def window(self, x: Tensor, routes: Sequence[Route]) -> list[Tensor]:
        """The same images (B, C, H, W) through R routes, layer by layer: R logits (B, classes), as R calls give them.

        Stem and tail run once. The activations of all R routes are alive at the same time.
        """

    @abstractmethod
    def compilable_window(self, x: Tensor, routing: Routing) -> Tensor:
        """`window` as one static graph: images (B, C, H, W) through m paths, with their choices as tensors.

        The caller sets `repeated` on the stem and `stacked` on `stacked_modules`. Returns logits (m, B, classes).
        """

    @abstractmethod
    def path_state(self, path: ArchPath) -> dict[str, Tensor]:
        """Weights and statistics of one path, named as its stand-alone network names them; views, not copies."""

    @abstractmethod
    def stacked_modules(self) -> list[nn.Module]:
        """Modules without a choice that a window runs on the images of all its paths at once, the stem aside."""

    @abstractmethod
    def unreached(self, path: ArchPath) -> list[nn.Module]:
        """Operations on a path whose outputs never reach the logits: they get no gradient."""

    @abstractmethod
    def segments(self) -> list[Segment]:
        """The forward pass in pieces, for scoring paths with a common prefix once."""

    @abstractmethod
    def blocks(self) -> list[tuple[int, ChoiceBlock]]:
        """(layer, block) in the order in which they run; a layer of a path may have several blocks."""

    @abstractmethod
    def ancestors(self, layer: int, depth: int) -> tuple[int, ...]:
        """Layers whose outputs reach this one in `depth` hops at most, in ascending order."""

    def operations(self, route: Route) -> list[OpId]:
        """The operations that a route runs, each once; here one for each choice."""
        return chosen(route)

    @abstractmethod
    def op_modules(self, op: OpId) -> list[nn.Module]:
        """The modules of one operation: those of all cells that share it, and their copies after a split."""
