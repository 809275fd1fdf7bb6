"""Modules and tables by which a choice block's input depends on earlier choices (Laube and Zell 2021).

B batch, C channels of a block's input, H W size, m choices of a layer, D earlier layers a block depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from src.runtime.devices import move
from src.supernet.path import Entry


class Dependence(nn.Module):
    """Changes a choice's input by the choices made before; a block has one or none."""

    tables: nn.ParameterList | tuple[nn.Parameter, ...]
    """Looked up by choices: rows that no route looked up are not updated by the optimizer (see frozen.frozen_rows)."""


class BiasTable(Dependence):
    """Adds a vector looked up by the D earlier choices and the current one (section 3.3)."""

    def __init__(self, sizes: Sequence[int], channels: int) -> None:
        """`sizes` (D + 1,): choices of the earlier layers and of this one. All zeros at the start."""
        super().__init__()
        self.table = nn.Parameter(torch.zeros(*sizes, channels))
        self.tables = (self.table,)

    def forward(self, x: Tensor, before: Sequence[Entry], choice: int) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + look_up(self.table, (*before, choice))[:, None, None]


class SharedBiasTables(Dependence):
    """Adds D + 1 vectors, one looked up by each earlier choice and one by the current (appendix D)."""

    def __init__(self, sizes: Sequence[int], channels: int) -> None:
        """`sizes` (D + 1,): choices of the earlier layers and of this one. All zeros at the start."""
        super().__init__()
        self.tables = nn.ParameterList(torch.zeros(size, channels) for size in sizes)

    def forward(self, x: Tensor, before: Sequence[Entry], choice: int) -> Tensor:
        """(B, C, H, W) to the same shape."""
        return x + sum_of_rows(self.tables, (*before, choice))[:, None, None]


class Gate(Dependence):
    """Weights the channels by sigmoid(W onehot), or sigmoid(W' ReLU(W onehot)) (appendix D, after SE-Net).

    The 1x1 layer on concatenated one-hot vectors is a sum of D + 1 table rows and a bias, and is kept as that.
    """

    def __init__(self, sizes: Sequence[int], channels: int, hidden: bool) -> None:
        """`sizes` (D + 1,): choices of the earlier layers and of this one. Initialised as nn.Linear is."""
        super().__init__()
        # Drawn as one layer and cut into tables, so that the initial values have nn.Linear's distribution.
        first = nn.Linear(sum(sizes), channels)
        self.tables = nn.ParameterList(part.t().clone() for part in first.weight.detach().split(list(sizes), dim=1))
        self.bias = nn.Parameter(first.bias.detach().clone())
        self.second = nn.Linear(channels, channels) if hidden else None

    def forward(self, x: Tensor, before: Sequence[Entry], choice: int) -> Tensor:
        """(B, C, H, W) to the same shape."""
        weights = sum_of_rows(self.tables, (*before, choice)) + self.bias
        if self.second is not None:
            weights = self.second(weights.relu())
        return x * weights.sigmoid()[:, None, None]


def look_up(table: Tensor, entries: Sequence[Entry]) -> Tensor:
    """The row (C,) of a table (m_1, ..., m_k, C); for weights (m_i,) the mean over that axis, weighted by shares."""
    # One axis at a time, the first in front: an index selects, a vector of weights averages.
    for entry in entries:
        shares = move(entry / entry.sum(), table.device) if isinstance(entry, Tensor) else None
        table = table[entry] if shares is None else torch.tensordot(shares, table, 1)
    return table


def sum_of_rows(tables: Iterable[Tensor], entries: Sequence[Entry]) -> Tensor:
    """One row (C,) of each table (m_i, C), added up."""
    rows = [look_up(table, (entry,)) for table, entry in zip(tables, entries, strict=True)]
    return torch.stack(rows).sum(0)


def tables(net: nn.Module) -> list[nn.Parameter]:
    """All tables of a supernet."""
    return [table for module in net.modules() if isinstance(module, Dependence) for table in module.tables]
