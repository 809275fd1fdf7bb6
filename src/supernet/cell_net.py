"""A supernet of cells: all of them follow the same route, what stands between them has no choice.

B batch, C channels, H W size, R routes, L decisions of a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from src.supernet.batch_norm import repeated, stacked
from src.supernet.choice import ChoiceBlock, Routing
from src.supernet.path import ArchPath, OpId, Route
from src.supernet.segment import Segment, State
from src.supernet.shared_cell import SharedCell
from src.supernet.supernet import Supernet


class CellNet(Supernet):
    """Stem, cells and reductions in a row, tail."""

    def __init__(self, stem: nn.Module, cells: Iterable[nn.Module], tail: nn.Module) -> None:
        """Some of `cells` are SharedCells, of one graph; the first module is one."""
        super().__init__()
        self.stem = stem
        self.cells = nn.ModuleList(cells)
        self.tail = tail

    @property
    def shared_cells(self) -> list[SharedCell]:
        """The cells, without what stands between them."""
        return [cell for cell in self.cells if isinstance(cell, SharedCell)]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Choices of each decision, the same in all cells."""
        return self.shared_cells[0].sizes

    @property
    def op_ids(self) -> tuple[OpId, ...] | None:
        """All operations, where they are not the choices of the decisions one to one."""
        return self.shared_cells[0].op_ids

    def forward(self, x: Tensor, route: Route) -> Tensor:
        """Images (B, C, H, W) through one route: logits (B, classes)."""
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x, route) if isinstance(cell, SharedCell) else cell(x)
        return self.tail(x)

    def window(self, x: Tensor, routes: Sequence[Route]) -> list[Tensor]:
        """Images (B, C, H, W) through R routes, cell by cell: R logits (B, classes); the tail gets R * B inputs."""
        count = len(routes)
        # One pass of the stem stands for R: its BN statistics must move as R passes would have moved them.
        with repeated([self.stem], count):
            features = self.stem(x)
        xs: Sequence[Tensor] = [features] * count
        for cell in self.cells:
            if isinstance(cell, SharedCell):
                xs = [cell(x, route) for x, route in zip(xs, routes, strict=True)]
            else:
                # A reduction is the same for all routes: one large convolution instead of R small ones.
                with stacked([cell], count):
                    xs = cell(torch.cat(list(xs))).chunk(count)
        with stacked([self.tail], count):
            return list(self.tail(torch.cat(list(xs))).chunk(count))

    def compilable_window(self, x: Tensor, routing: Routing) -> Tensor:
        """Images (B, C, H, W) through m paths whose choices are tensors: logits (m, B, classes)."""
        m = routing.choices.shape[1]
        features = self.stem(x)
        xs = torch.stack([features] * m)
        for cell in self.cells:
            if isinstance(cell, SharedCell):
                xs = cell.run_all(xs, routing)
            else:
                xs = cell(xs.flatten(0, 1)).unflatten(0, (m, -1))
        return self.tail(xs.flatten(0, 1)).unflatten(0, (m, -1))

    def path_state(self, path: ArchPath) -> dict[str, Tensor]:
        """Weights and statistics of one path, named as its stand-alone network names them."""
        return self.subnet(path).state_dict()

    def subnet(self, path: ArchPath) -> nn.Sequential:
        """The network of one path, made of these very modules, nested and named as stand-alone networks are."""
        cells = [cell.fixed(path) if isinstance(cell, SharedCell) else cell for cell in self.cells]
        return nn.Sequential(self.stem, nn.Sequential(*cells), self.tail)

    def stacked_modules(self) -> list[nn.Module]:
        """The reductions and the tail."""
        return [*(cell for cell in self.cells if not isinstance(cell, SharedCell)), self.tail]

    def unreached(self, path: ArchPath) -> list[nn.Module]:
        """Operations of a path whose outputs never reach the output of their cell: they get no gradient."""
        return [module for cell in self.shared_cells for module in cell.unreached(path)]

    def segments(self) -> list[Segment]:
        """The stem, the pieces of the first cell, all the rest: a later cell's input depends on the whole path."""
        first, *rest = self.cells
        assert isinstance(first, SharedCell)

        def finish(state: State, path: ArchPath) -> Tensor:
            x = first.ended(state)
            for cell in rest:
                x = cell(x, path) if isinstance(cell, SharedCell) else cell(x)
            return self.tail(x)

        def modules(path: ArchPath) -> list[nn.Module]:
            # Every module whose norms `finish` runs: each is calibrated together with the rest of the path.
            cells = [cell.modules_of(path) if isinstance(cell, SharedCell) else [cell] for cell in rest]
            return [*chain.from_iterable(cells), self.tail]

        stem = Segment(0, lambda x, _: first.begun(self.stem(x)), lambda _: [self.stem])
        return [stem, *first.segments(), Segment(len(self.sizes), finish, modules)]

    def blocks(self) -> list[tuple[int, ChoiceBlock]]:
        """(decision, block) of all cells in turn."""
        return [entry for cell in self.shared_cells for entry in enumerate(cell.blocks())]

    def ancestors(self, layer: int, depth: int) -> tuple[int, ...]:
        """Blocks of the same cell whose outputs reach block `layer` in `depth` hops at most."""
        return self.shared_cells[0].ancestors(layer, depth)

    def operations(self, route: Route) -> list[OpId]:
        """The operations that a route runs, the same in all cells."""
        return self.shared_cells[0].operations(route)

    def op_modules(self, op: OpId) -> list[nn.Module]:
        """The operation in each cell, and its copies after a split."""
        return [module for cell in self.shared_cells for module in cell.op_modules(op)]
