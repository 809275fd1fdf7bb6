"""A choice block: the m candidate operations of one layer.

B batch, C channels, H W size, L layers, m choices of a layer, D earlier layers that a block may depend on.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from src.runtime.devices import move
from src.supernet.path import ArchPath, Entry, Route


class ChoiceBlock(nn.Module):
    """m operations of equal input and output shape, of which a route runs one or a weighted sum.

    By default a block knows its own layer's choice alone. Inter-choice weights (src/supernet/inter_choice.py) let it
    depend on the choices of the layers in `before`: through `dependence`, which changes the input, or through a copy of
    every operation for each combination of those choices.
    """

    def __init__(self, choices: Iterable[nn.Module]) -> None:
        super().__init__()
        self.choices = nn.ModuleList(choices)
        self.before: tuple[int, ...] = ()
        """The D earlier layers whose choices this block depends on."""
        self.before_sizes: tuple[int, ...] = ()
        """Choices of each of those layers, (D,)."""
        self.dependence: nn.Module | None = None
        """`dependence(x, before, choice)` changes the input of a choice."""
        self.copies = nn.ModuleList()
        """After a split: a ModuleList like `choices` for every combination of earlier choices but the first."""

    def forward(self, x: Tensor, entry: Entry, before: Sequence[Entry] = ()) -> Tensor:
        """Run choice `entry` on x (B, C, H, W), or with weights (m,) the weighted sum of all with a weight != 0.

        A choice of weight 0 is not run, so its parameters get no gradient. `before` are the route's entries at the
        layers this block depends on; weights among them are divided by their sum. Returns (B, C', H', W').
        """
        # An index is the common case and runs one operation, with no product and no sum.
        if not isinstance(entry, Tensor):
            return self.run_choice(x, entry, before)
        # A learnt weight that happens to be 0 still needs its output for its gradient.
        weights = [(w, choice) for choice, w in enumerate(entry.unbind()) if w.requires_grad or w != 0]
        return torch.stack([w * self.run_choice(x, choice, before) for w, choice in weights]).sum(0)

    def run_choice(self, x: Tensor, choice: int, before: Sequence[Entry]) -> Tensor:
        """One choice on x (B, C, H, W), after the given earlier entries: (B, C', H', W')."""
        if self.dependence is not None:
            x = self.dependence(x, before, choice)
        if not len(self.copies):
            return self.choices[choice](x)
        chosen = [entry for entry in before if isinstance(entry, int)]
        if len(chosen) == len(before):
            return self.operation(choice, chosen)(x)
        # An earlier layer with weights over its choices mixes their copies, each by its share.
        terms = []
        for combination in itertools.product(*map(shares_of, before)):
            earlier, shares = zip(*combination, strict=True)
            terms.append(torch.stack(shares).prod() * self.operation(choice, earlier)(x))
        return torch.stack(terms).sum(0)

    def run_all(self, xs: Tensor, routing: Routing, layer: int) -> Tensor:
        """Every choice once, each on the path that has it: xs (m, B, C, H, W) to (m, B, C', H', W'), both by path.

        Which path that is comes as a tensor, so that the operations and their order are the same in every step.
        """
        assert not len(self.copies)  # a split would need one graph per combination of earlier choices
        # Sort the paths by their choice of this layer, run each choice on its path, sort back.
        by_choice = select_rows(xs, routing.places[layer]).unbind()
        ys = []
        for choice, x in enumerate(by_choice):
            # A slice keeps the index on the device; an int would make the host wait for the GPU.
            path = routing.places[layer, choice : choice + 1]
            before = [routing.one_hot[earlier].index_select(0, path)[0] for earlier in self.before]
            ys.append(self.run_choice(x, choice, before))
        return select_rows(torch.stack(ys), routing.choices[layer])

    def entries_before(self, route: Route) -> tuple[Entry, ...]:
        """The route's entries at the layers this block depends on; the route may end before this layer."""
        return tuple(route[layer] for layer in self.before)

    def operation(self, choice: int, before: Sequence[int] = ()) -> nn.Module:
        """The module that runs for a choice after the given earlier ones."""
        if not len(self.copies):
            return self.choices[choice]
        # Combinations are numbered in mixed radix, the last earlier layer fastest; number 0 has no copy.
        index = 0
        for earlier, size in zip(before, self.before_sizes, strict=True):
            index = index * size + earlier
        operations = self.copies[index - 1] if index else self.choices
        assert isinstance(operations, nn.ModuleList)
        return operations[choice]

    def operation_on(self, path: ArchPath, layer: int) -> nn.Module:
        """The module that a path runs in this block, which is that of `layer`."""
        return self.operation(path[layer], [path[earlier] for earlier in self.before])

    def operations(self, choice: int) -> list[nn.Module]:
        """The module of a choice, and its copies if there are any."""
        lists = [self.choices, *self.copies]
        return [modules[choice] for modules in lists if isinstance(modules, nn.ModuleList)]

    def split(self) -> dict[nn.Parameter, nn.Parameter]:
        """Give every combination of earlier choices its own copy of every operation; returns copy -> original.

        The originals continue as the operations of the first combination.
        """
        # deepcopy, statistics included: right after a split every output is as it was before.
        origins: dict[nn.Parameter, nn.Parameter] = {}
        for _ in range(math.prod(self.before_sizes) - 1):
            copies = copy.deepcopy(self.choices)
            origins |= zip(copies.parameters(), self.choices.parameters(), strict=True)
            self.copies.append(copies)
        return origins


class Routing(NamedTuple):
    """m paths that run every choice of each of L layers once, as tensors on the device."""

    choices: Tensor
    """(L, m): path k's choice in each layer."""
    places: Tensor
    """(L, m): the path that has each choice."""
    one_hot: Tensor
    """(L, m, m): path k's choice as a vector."""


def routing_of(paths: Sequence[ArchPath], device: torch.device, dtype: torch.dtype) -> Routing:
    """The tensors of m paths that have every choice of each layer exactly once; `dtype` is that of `one_hot`."""
    # Built on the host and moved at once; the inverse of a permutation is its argsort.
    choices = torch.tensor(paths).t().contiguous()
    one_hot = F.one_hot(choices, len(paths)).to(dtype)
    return Routing(*(move(tensor, device) for tensor in (choices, choices.argsort(1), one_hot)))


def is_permuted(paths: Sequence[Route], sizes: Sequence[int]) -> bool:
    """Whether every choice of every layer occurs exactly once."""
    columns = zip(*paths, strict=True)
    return all(
        all(isinstance(entry, int) for entry in column) and sorted(column) == list(range(size))
        for column, size in zip(columns, sizes, strict=True)
    )


def select_rows(xs: Tensor, rows: Tensor) -> Tensor:
    """Rows (k,) of xs (m, B, C, H, W): (k, B, C, H, W), in the memory format that each row of xs has."""
    channels_last = xs[0].is_contiguous(memory_format=torch.channels_last)
    if not channels_last:
        return xs.index_select(0, rows)
    # index_select gives contiguous rows, which would cost a layout change before every convolution.
    return xs.permute(0, 1, 3, 4, 2).index_select(0, rows).permute(0, 1, 4, 2, 3)


def shares_of(entry: Entry) -> list[tuple[int, Tensor]]:
    """(choice, share) of one layer, whose shares, scalars, sum to 1; choices of weight 0 are left out."""
    if not isinstance(entry, Tensor):
        return [(entry, torch.ones(()))]
    # As in ChoiceBlock.forward: a learnt share of 0 is kept for its gradient.
    return [(choice, w) for choice, w in enumerate((entry / entry.sum()).unbind()) if w.requires_grad or w != 0]
