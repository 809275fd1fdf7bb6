"""Inter-choice dependent weights: a choice block that knows the choices made before it (Laube and Zell 2021).

The options of conf/inter_choice, and the split of a supernet's weights; the tables are in dependences.py.
B batch, C channels of a block's input, H W size, m choices of a layer, D earlier layers a block depends on.
These weights belong to the supernet alone: stand-alone networks have none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from src.runtime.errors import UsageError, unknown
from src.supernet.choice import ChoiceBlock
from src.supernet.dependences import BiasTable, Dependence, Gate, SharedBiasTables
from src.supernet.supernet import Supernet
from src.supernet.tied import are_tied

PREDECESSORS = ("previous", "true")
LARGEST_TABLE = 10**8
"""Numbers in one table; 400 MB."""


class InterChoice:
    """Base of the options, and itself `inter_choice=none`: weights depend on their own layer's choice alone."""

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
            raise UsageError(f"inter_choice.depth={depth}: expected a number of earlier choices, 1 or more")
        if weight_decay is not None and not (isinstance(weight_decay, int | float) and weight_decay >= 0):
            raise UsageError(f"inter_choice.weight_decay={weight_decay}: give a number of at least 0, or null")
        self.depth, self.predecessors, self.weight_decay = depth, predecessors, weight_decay

    def attach(self, net: Supernet, images: Tensor) -> None:
        """Prepare a freshly built supernet; `images` (2, C, H, W) of any content show its blocks' input channels."""
        if self.depth == 0:
            return
        # Input channels differ by layer and no attribute tells them for every kind of operation: a run does.
        sizes = {layer: len(block.choices) for layer, block in net.blocks()}
        channels = input_channels(net, images)
        for layer, block in net.blocks():
            # `true` counts hops in the graph, `previous` positions in the path; in a row of layers they are the same.
            previous = tuple(range(max(layer - self.depth, 0), layer))
            block.before = net.ancestors(layer, self.depth) if self.predecessors == "true" else previous
            block.before_sizes = tuple(sizes[earlier] for earlier in block.before)
            # The first layer has no earlier choice and stays as it is.
            if block.before:
                table_sizes = (*block.before_sizes, len(block.choices))
                block.dependence = self.dependence(table_sizes, channels[block])

    def dependence(self, sizes: tuple[int, ...], channels: int) -> Dependence | None:
        """The module for a block of `channels` input channels; `sizes` (D + 1,) of the earlier layers and its own."""
        return None

    def split_step(self, steps: int, epoch_steps: int) -> int | None:
        """The supernet step, of `steps` in all, before which the weights are split; None: never."""
        return None


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
        super().__init__(1, predecessors)  # m copies of the net are trained as it is; D = 2 would be m^2
        for key, value, high in (("epoch", epoch, math.inf), ("fraction", fraction, 1.0)):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 <= value <= high):
                raise UsageError(f"inter_choice.{key}={value}: give a number from 0 to {high:g}, or null")
        if epoch is None and fraction is None:
            raise UsageError("inter_choice=split needs inter_choice.epoch or inter_choice.fraction")
        self.epoch, self.fraction = epoch, fraction

    def attach(self, net: Supernet, images: Tensor) -> None:
        """Prepare a freshly built supernet, whose operations are each a block's own.

        Raises:
            UsageError: blocks share operations, which copies would not.
        """
        if are_tied(net):
            raise UsageError("inter_choice=split copies the operations of each block: use it with search_space.share=1")
        super().attach(net, images)

    def split_step(self, steps: int, epoch_steps: int) -> int:
        """Rounded to the nearest step; at or beyond the end there is no split.

        Raises:
            UsageError: an epoch that the run never reaches.
        """
        if self.epoch is None:
            return round((self.fraction or 0) * steps)
        # `fraction` scales with the budget, an epoch does not: one beyond the budget is a mistake.
        step = round(self.epoch * epoch_steps)
        if step >= steps:
            raise UsageError(
                f"inter_choice.epoch={self.epoch:g}: the run has {steps / epoch_steps:g} epochs, so give less, or "
                "inter_choice.fraction of them"
            )
        return step


def at_least_one(depth: int) -> int:
    """Return the depth D.

    Raises:
        UsageError: it is 0, for which there is inter_choice=none.
    """
    if depth == 0:
        raise UsageError("inter_choice.depth=0: give 1 or more, or inter_choice=none")
    return depth


def split_weights(net: Supernet) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """Split every block that depends on earlier choices; (original, copy) of all parameters in the net's order."""
    origins: dict[nn.Parameter, nn.Parameter] = {}
    for _, block in net.blocks():
        origins |= block.split()
    # The optimizer appends copies in this order; a resumed run must append them in the same one.
    return [(origins[p], p) for p in net.parameters() if p in origins]


def is_split(net: nn.Module) -> bool:
    """Whether the weights were split."""
    return any(isinstance(module, ChoiceBlock) and len(module.copies) for module in net.modules())


def copied_parameters(net: nn.Module) -> list[nn.Parameter]:
    """The parameters that a split added, in the net's order."""
    blocks = [module for module in net.modules() if isinstance(module, ChoiceBlock)]
    return [parameter for block in blocks for parameter in block.copies.parameters()]


def input_channels(net: Supernet, images: Tensor) -> dict[ChoiceBlock, int]:
    """C of the input of each choice block, read off a run on `images` (B, C, H, W)."""
    channels: dict[ChoiceBlock, int] = {}
    hooks = [
        block.register_forward_pre_hook(lambda b, inputs: channels.update({b: inputs[0].shape[1]}))
        for _, block in net.blocks()
    ]
    was_training = net.training  # evaluation mode leaves the BN statistics as they are
    with torch.no_grad():
        # all choices at once, since one path may leave out blocks
        net.eval()(images, tuple(torch.full((size,), 1 / size, device=images.device) for size in net.sizes))
    net.train(was_training)
    for hook in hooks:
        hook.remove()
    return channels
