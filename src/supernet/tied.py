"""Choice blocks that are tied: they share the convolutions of their choices, as far as `share` says.

m choices of a block.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from src.runtime.errors import UsageError
from src.supernet.choice import ChoiceBlock
from src.supernet.path import OpId
from src.supernet.supernet import Supernet


def tie(blocks: Iterable[ChoiceBlock], share: int) -> list[ChoiceBlock]:
    """Let each `share` consecutive blocks use the convolutions of the first of them, choice by choice.

    Every block keeps batch norms of its own: statistics depend on what a block is fed with. The blocks offer the same
    choices at the same widths (PA&DA supplement, B.1; CLOSE, Zhou et al. 2022, with one set of weights a group).
    """
    every = list(blocks)
    for number, block in enumerate(every):
        first = every[number - number % share]
        for name, module in first.choices.named_modules() if block is not first else ():
            if isinstance(module, nn.Conv2d):
                block.choices.set_submodule(name, module)
    return every


def tied_ops(blocks: int, choices: int, share: int) -> tuple[OpId, ...] | None:
    """All operations of tied blocks with m choices; None where every block has its own."""
    return tuple((first, c) for first in range(0, blocks, share) for c in range(choices)) if share > 1 else None


def check_share(share: object, blocks: int, what: str) -> int:
    """Return the number of blocks that share one copy of the choices.

    Raises:
        UsageError: it does not divide their number.
    """
    divisors = [str(number) for number in range(1, blocks + 1) if blocks % number == 0]
    if type(share) is not int or str(share) not in divisors:
        raise UsageError(f"search_space.share={share} does not divide {blocks} {what}: use {', '.join(divisors)}")
    return share


def are_tied(net: Supernet) -> bool:
    """Whether some choice blocks share parameters."""
    numbers = [id(parameter) for _, block in net.blocks() for parameter in block.parameters()]
    return len(numbers) > len(set(numbers))
