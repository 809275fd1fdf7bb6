"""Two halves of the training part: weights learn from one, architecture parameters from the other (DARTS).

The three stored parts stay as they are: `val` scores paths, so nothing may learn from it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from src.datasets.orders import Order, Shuffle


def stratified_halves(labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of the training part in two halves, each class in equal parts up to one image.

    Args:
        labels: (N,) class of each image.
        seed: the same seed gives the same halves.

    Returns:
        Two ascending int64 vectors, (N - N // 2,) and (N // 2,).
    """
    # at random within a class, so that no order of the files decides
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    # by class, and then one for each in turn: classes of odd sizes give their last image to alternating halves
    dealt = shuffled[labels[shuffled].argsort(stable=True)]
    return dealt[::2].sort().values, dealt[1::2].sort().values


class Within(Order):
    """A shuffle of some positions of the training part alone."""

    def __init__(self, positions: Tensor, seed: int) -> None:
        """`positions` (n,) int64, of which an epoch visits each once."""
        super().__init__(len(positions), seed)
        self.positions, self.shuffle = positions, Shuffle(len(positions), seed)

    def draw(self, epoch: int) -> Tensor:
        """A uniform permutation of the positions (n,)."""
        return self.positions[self.shuffle.draw(epoch)]
