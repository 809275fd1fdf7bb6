"""Inter-choice dependent weights: a choice block that knows the choices made before it (Laube and Zell 2021).

B batch, C channels of a block's input, H W size, m choices of a layer, D earlier layers a block depends on.
Weights are the supernet's alone: stand-alone networks have none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from src.runtime.devices import move
from src.runtime.errors import UsageError, unknown
from src.supernet.cells import CellNet
from src.supernet.choice import ChoiceBlock
from src.supernet.layerwise import Supernet
from src.supernet.path import Entry

PREDECESSORS = ("previous", "true")
LARGEST_TABLE = 10**8
"""Numbers in one table; 400 MB."""


class Dependence(nn.Module):
    """Changes a choice's input by what was chosen before; a block has one or none."""

    tables: nn.ParameterList | tuple[nn.Parameter, ...]
    """Looked up by choices: a row that no route looked up is left alone by the optimizer (see `frozen_rows`)."""


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
        """Initialised as the linear layers are that the tables stand for."""
        super().__init__()
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
    for entry in entries:
        shares = move(entry / entry.sum(), table.device) if isinstance(entry, Tensor) else None
        table = table[entry] if shares is None else torch.tensordot(shares, table, 1)
    return table


def sum_of_rows(tables: Iterable[Tensor], entries: Sequence[Entry]) -> Tensor:
    """One row (C,) of each table (m_i, C), added up."""
    rows = [look_up(table, (entry,)) for table, entry in zip(tables, entries, strict=True)]
    return torch.stack(rows).sum(0)


class InterChoice:
    """How the weights of a supernet depend on several choices; this one: not at all (inter_choice=none)."""

    def __init__(self, depth: int = 0, predecessors: str = "previous", weight_decay: float | None = None) -> None:
        """
        Args:
            depth: D; layers with fewer earlier ones depend on those there are, the first on none.
            predecessors: `previous` are the D layers before, in the order of a path; `true` those whose outputs reach
                the layer in D hops or fewer, which differ in NAS-Bench-201's cells.
            weight_decay: of the tables; None: the optimizer's.
        """
        if predecessors not in PREDECESSORS:
            raise unknown("inter_choice.predecessors", predecessors, PREDECESSORS)
        if type(depth) is not int or depth < 0:
            raise UsageError(f"inter_choice.depth={depth}: give how many earlier choices count, 1 or more")
        if weight_decay is not None and not (isinstance(weight_decay, int | float) and weight_decay >= 0):
            raise UsageError(f"inter_choice.weight_decay={weight_decay}: give a number of at least 0, or null")
        self.depth, self.predecessors, self.weight_decay = depth, predecessors, weight_decay

    def attach(self, net: nn.Module, images: Tensor) -> None:
        """Prepare a freshly built supernet; `images` (2, C, H, W) of any content show its blocks' input channels."""
        if self.depth == 0:
            return
        assert isinstance(net, Supernet | CellNet)
        sizes = {layer: len(block.choices) for layer, block in net.blocks()}
        channels = input_channels(net, images)
        for layer, block in net.blocks():
            block.before = self._before(net, layer)
            block.before_sizes = tuple(sizes[earlier] for earlier in block.before)
            if block.before:
                table_sizes = (*block.before_sizes, len(block.choices))
                block.dependence = self.dependence(table_sizes, channels[block])

    def dependence(self, sizes: tuple[int, ...], channels: int) -> Dependence | None:
        """What a block of `channels` input channels gets; `sizes` of the earlier layers and its own."""
        return None

    def split_step(self, steps: int, epoch_steps: int) -> int | None:
        """The supernet step, of `steps` in all, before which the weights are split; None: never."""
        return None

    def _before(self, net: Supernet | CellNet, layer: int) -> tuple[int, ...]:
        if self.predecessors == "true":
            return net.ancestors(layer, self.depth)
        return tuple(range(max(layer - self.depth, 0), layer))


class Bias(InterChoice):
    """One table (m_{l-D}, ..., m_{l-1}, m_l, C) a block."""

    def __init__(self, depth: int = 1, predecessors: str = "previous", weight_decay: float | None = None) -> None:
        super().__init__(at_least_one(depth), predecessors, weight_decay)

    def dependence(self, sizes: tuple[int, ...], channels: int) -> Dependence | None:
        """The zeroed table."""
        if math.prod(sizes) * channels > LARGEST_TABLE:
            shape = " x ".join(map(str, (*sizes, channels)))
            raise UsageError(f"inter_choice.depth={self.depth} needs tables of {shape} numbers: use a smaller depth")
        return BiasTable(sizes, channels)


class SharedBias(InterChoice):
    """D + 1 tables (m_i, C) a block."""

    def __init__(self, depth: int = 1, predecessors: str = "previous", weight_decay: float | None = None) -> None:
        super().__init__(at_least_one(depth), predecessors, weight_decay)

    def dependence(self, sizes: tuple[int, ...], channels: int) -> Dependence:
        """The zeroed tables."""
        return SharedBiasTables(sizes, channels)


class Attention(InterChoice):
    """Channel attention by the choices."""

    def __init__(
        self, depth: int = 1, predecessors: str = "previous", weight_decay: float | None = None, hidden: bool = False
    ) -> None:
        """`hidden` puts a ReLU and a second linear layer before the sigmoid."""
        super().__init__(at_least_one(depth), predecessors, weight_decay)
        if not isinstance(hidden, bool):
            raise UsageError(f"inter_choice.hidden={hidden}: use true or false")
        self.hidden = hidden

    def dependence(self, sizes: tuple[int, ...], channels: int) -> Dependence:
        """Freshly drawn weights."""
        return Gate(sizes, channels, self.hidden)


class Split(InterChoice):
    """From an epoch on, a copy of every operation for each previous choice (D = 1)."""

    def __init__(
        self, epoch: float | None = None, fraction: float | None = 0.5, predecessors: str = "previous"
    ) -> None:
        """The split comes after `epoch` epochs, or else after this `fraction` of the budget."""
        super().__init__(1, predecessors)
        for key, value, high in (("epoch", epoch, math.inf), ("fraction", fraction, 1.0)):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 <= value <= high):
                raise UsageError(f"inter_choice.{key}={value}: give a number from 0 to {high:g}, or null")
        if epoch is None and fraction is None:
            raise UsageError("inter_choice=split needs inter_choice.epoch or inter_choice.fraction")
        self.epoch, self.fraction = epoch, fraction

    def split_step(self, steps: int, epoch_steps: int) -> int:
        """Rounded to the nearest step; at or beyond the end there is no split.

        Raises:
            UsageError: an epoch that the run never reaches.
        """
        if self.epoch is None:
            return round((self.fraction or 0) * steps)
        step = round(self.epoch * epoch_steps)
        if step >= steps:
            raise UsageError(
                f"inter_choice.epoch={self.epoch:g}: the run has {steps / epoch_steps:g} epochs, so give less, or "
                "inter_choice.fraction of them"
            )
        return step


def at_least_one(depth: int) -> int:
    """D itself.

    Raises:
        UsageError: it is 0, for which there is inter_choice=none.
    """
    if depth == 0:
        raise UsageError("inter_choice.depth=0: give 1 or more, or inter_choice=none")
    return depth


def split_weights(net: nn.Module) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """Split every block that depends on earlier choices; (original, copy) of all parameters in the net's order."""
    assert isinstance(net, Supernet | CellNet)
    origins: dict[nn.Parameter, nn.Parameter] = {}
    for _, block in net.blocks():
        origins |= block.split()
    return [(origins[p], p) for p in net.parameters() if p in origins]


def is_split(net: nn.Module) -> bool:
    """Whether the weights were split."""
    return any(isinstance(module, ChoiceBlock) and len(module.copies) for module in net.modules())


def copied_parameters(net: nn.Module) -> list[nn.Parameter]:
    """The parameters that a split added, in the net's order."""
    blocks = [module for module in net.modules() if isinstance(module, ChoiceBlock)]
    return [parameter for block in blocks for parameter in block.copies.parameters()]


def tables(net: nn.Module) -> list[nn.Parameter]:
    """All tables of a supernet."""
    return [table for module in net.modules() if isinstance(module, Dependence) for table in module.tables]


def input_channels(net: nn.Module, images: Tensor) -> dict[ChoiceBlock, int]:
    """C of the input of each choice block, found by running the first path on `images`."""
    assert isinstance(net, Supernet | CellNet)
    found: dict[ChoiceBlock, int] = {}
    layers = len({layer for layer, _ in net.blocks()})
    hooks = [
        block.register_forward_pre_hook(lambda b, inputs: found.update({b: inputs[0].shape[1]}))
        for _, block in net.blocks()
    ]
    was_training = net.training
    with torch.no_grad():
        net.eval()(images, (0,) * layers)
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return found


@contextmanager
def frozen_rows(parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Around an optimizer step: rows of tables whose gradient is all zero keep their values and optimizer state.

    A table's gradient has zeros for the rows that no route looked up; with momentum and weight decay they would move,
    where a choice off the routes does not.
    """
    held = []
    for table in parameters:
        if table.grad is not None:
            used = (table.grad != 0).any(-1, keepdim=True)
            held.append((table, used, table.detach().clone(), _row_state(optimizer, table, copied=True)))
    yield
    with torch.no_grad():
        for table, used, before, state in held:
            table.copy_(torch.where(used, table, before))
            for key, new in _row_state(optimizer, table).items():
                new.copy_(torch.where(used, new, state.get(key, torch.zeros_like(new))))


def _row_state(optimizer: torch.optim.Optimizer, table: Tensor, copied: bool = False) -> dict[str, Tensor]:
    """The optimizer's state that has one number for each of the table's; step counters belong to no row."""
    state = optimizer.state.get(table, {})
    found = {key: value for key, value in state.items() if isinstance(value, Tensor) and value.shape == table.shape}
    return {key: value.clone() for key, value in found.items()} if copied else found
