"""Random erasing (by timm) and cutout of normalised mini-batches.

B images of a mini-batch, C channels, S px a side.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor

from src.runtime.devices import move
from src.runtime.errors import UsageError

Erasing = Callable[[Tensor, int], Tensor]
"""Images (B, C, S, S) and a seed to images of the same shape; all draws are of the seed alone."""


class RandomErase:
    """A rectangle of 2 to 33 % of an image's area, with chance `probability` in each image (Zhong et al. 2017)."""

    def __init__(self, probability: float, mode: str) -> None:
        """`mode` pixel fills it with standard normal noise, const with the mean, which is 0."""
        from timm.data.random_erasing import RandomErasing  # late: 2 s

        self.erase = RandomErasing(probability, mode=mode, device="cpu")

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """In place."""
        self.erase.device = images.device
        with isolate_rng(include_cuda=images.is_cuda):
            random.seed(seed)
            (torch.manual_seed if images.is_cuda else torch.default_generator.manual_seed)(seed)
            return self.erase(images)


class Cutout:
    """A square set to the mean in each image, about a centre drawn uniformly; the border cuts it off (DeVries 2017)."""

    def __init__(self, length: int) -> None:
        """`length` px a side."""
        self.length = length

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """The same (B, C, S, S), zero in a square; drawn on the CPU, so that every device hides the same pixels."""
        count, _, side, _ = images.shape
        generator = torch.Generator().manual_seed(seed)
        centres = torch.randint(side, (2, count, 1), generator=generator)
        low = centres - self.length // 2
        hidden = (torch.arange(side) >= low) & (torch.arange(side) < low + self.length)  # (2, B, S)
        rows, columns = (move(part, images.device) for part in hidden)
        return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def make_erasing(erase: float, mode: str, cutout: int | None, image_size: int) -> list[Erasing]:
    """The recipe's erasing steps in the order in which they are applied.

    Raises:
        UsageError: a cutout that hides an image altogether.
    """
    if cutout is not None and cutout >= image_size:
        raise UsageError(
            f"recipe.cutout={cutout} hides whole images of {image_size} px: use recipe.cutout={image_size // 2} "
            "(CIFAR's 16 of 32 px), or null"
        )
    erasing: list[Erasing] = [RandomErase(erase, mode)] if erase else []
    return [*erasing, Cutout(cutout)] if cutout else erasing
