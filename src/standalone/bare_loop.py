"""Train one path's network alone: the ground truth that a supernet's ranking is compared with.

B batch, C channels, H W size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from src.datasets.dataset import Dataset
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum under a one-cycle schedule; `peak_lr` is reached after 30 % of the steps."""

    epochs: int = 12
    batch_size: int = 100
    peak_lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4


def train_alone(space: SearchSpace, path: ArchPath, dataset: Dataset, recipe: Recipe, seed: int) -> nn.Module:
    """The trained network of a path, (B, C, H, W) to logits (B, classes), on the CPU in evaluation mode.

    All that is random depends on `seed` alone, so networks of one seed share the order of images and their
    augmentation, which leaves less noise between them. A bare loop, because for networks of a millisecond a step a
    Trainer would cost more than the training.
    """
    # A fork, so that the initial weights neither depend on nor move the global generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = space.build_path(path, dataset.in_channels, dataset.num_classes, dataset.image_size)
    # The schedule needs the number of steps beforehand; an epoch drops its last, smaller batch.
    steps = recipe.epochs * (dataset.size("train") // recipe.batch_size)
    optimizer = torch.optim.SGD(
        net.parameters(), recipe.peak_lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    schedule = OneCycleLR(optimizer, recipe.peak_lr, total_steps=steps)
    for batch in dataset.train_loader(recipe.batch_size, steps, seed, CPU):
        optimizer.zero_grad()
        F.cross_entropy(net(batch.images), batch.labels).backward()
        optimizer.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, dataset: Dataset, part: str, batch_size: int = 500, device: torch.device = CPU) -> float:
    """Top-1 in [0, 1] over a part, with the network's own running statistics if it is in evaluation mode."""
    hits = [net(batch.images).argmax(1) == batch.labels for batch in dataset.batches(part, batch_size, device)]
    return torch.cat(hits).double().mean().item()
