"""The observation of one update, for samplers that learn from it.

B images of the mini-batch, R routes of the update.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from src.supernet.path import OpId, Route

GRADIENT_NORMS, SAMPLES = "gradient_norms", "samples"


@dataclass
class Observation:
    """Filled while the update is carried out; the last ones only if the sampler's `wants` names them."""

    routes: tuple[Route, ...]
    index: Tensor
    """(B,) positions of the images in the data set's own files."""
    losses: list[Tensor] = field(default_factory=list)
    """R scalars: mean loss of each route."""
    hits: list[Tensor] = field(default_factory=list)
    """R scalars: images that each route classified correctly."""
    gradient_norms: dict[OpId, Tensor] = field(default_factory=dict)
    """Operation -> squared norm of the summed gradient (`gradient_norms`)."""
    sample_losses: list[Tensor] = field(default_factory=list)
    """R tensors (B,): loss of each image (`samples`)."""
    logit_gradients: list[Tensor] = field(default_factory=list)
    """R tensors (B,): norm of the gradient of each image's loss with respect to its logits (`samples`)."""

    def add_samples(self, logits: Tensor, losses: Tensor) -> None:
        """Add the loss of each image (B,), and the norm of its gradient with respect to the logits (B, classes)."""
        # The graph is needed again: the backward pass of the update comes after.
        (gradient,) = torch.autograd.grad(losses.sum(), logits, retain_graph=True)
        self.sample_losses.append(losses.detach())
        self.logit_gradients.append(gradient.norm(dim=1))
