"""A choice block: the m candidate operations of one layer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class ChoiceBlock(nn.Module):
    """m operations of equal input and output shape, of which a route runs one or a weighted sum."""

    def __init__(self, choices: Iterable[nn.Module]) -> None:
        super().__init__()
        self.choices = nn.ModuleList(choices)

    def forward(self, x: Tensor, route: int | Tensor) -> Tensor:
        """Run choice `route` on x (B, C, H, W), or with weights (m,) the weighted sum of all with a weight != 0.

        A choice of weight 0 is not run, so its parameters get no gradient.
        """
        if not isinstance(route, Tensor):
            return self.choices[route](x)
        weights = [(w, op) for w, op in zip(route.unbind(), self.choices, strict=True) if w.requires_grad or w != 0]
        return torch.stack([w * op(x) for w, op in weights]).sum(0)
