"""The training objective: from the outputs of a network and the labels of a mini-batch to a loss.

B images of a mini-batch.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Loss(NamedTuple):
    """A mini-batch's mean loss (), which is differentiated, and the loss of each image (B,)."""

    mean: Tensor
    per_image: Tensor


class Objective(Protocol):
    """The training loops know no loss by name: they call an objective."""

    def __call__(self, logits: Tensor, labels: Tensor) -> Loss:
        """Logits (B, classes) and labels (B,) to the loss."""

    def logit_norms(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,) L2 norm of the gradient of each image's loss with respect to its logits (B, classes)."""


class CrossEntropy:
    """Cross-entropy in nats, with label smoothing (Szegedy et al. 2016)."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def __call__(self, logits: Tensor, labels: Tensor) -> Loss:
        """Logits (B, classes) and labels (B,) int64 to the loss."""
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)
        return Loss(losses.mean(), losses)

    def logit_norms(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B,) norm of softmax minus target, in closed form; the target is smoothed as in the loss."""
        classes = logits.shape[1]
        differences = logits.detach().softmax(1) - self.label_smoothing / classes
        ones = torch.full_like(labels, 1, dtype=differences.dtype)[:, None]
        return differences.scatter_add(1, labels[:, None], (self.label_smoothing - 1) * ones).norm(dim=1)


class MixedCrossEntropy(CrossEntropy):
    """Cross-entropy with label smoothing as timm computes it: (1 - s) * nll + s * mean over classes.

    The same loss as `CrossEntropy` in another order of rounding, in which retrainings repeat bit for bit.
    """

    def __call__(self, logits: Tensor, labels: Tensor) -> Loss:
        """Logits (B, classes) and labels (B,) int64 to the loss."""
        log_probabilities = F.log_softmax(logits, dim=-1)
        nll = -log_probabilities.gather(-1, labels[:, None]).squeeze(1)
        losses = (1 - self.label_smoothing) * nll - self.label_smoothing * log_probabilities.mean(-1)
        return Loss(losses.mean(), losses)
