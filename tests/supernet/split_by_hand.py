"""Training of split weights without Lightning, which spawned processes would take seconds to import."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn import functional as F

from src.samplers.strict_fair import StrictFair
from src.search_spaces.mini import Mini
from src.supernet.inter_choice import Split, split_weights
from src.supernet.supernet import Supernet
from src.training.optimizer import extend, parameter_groups

SPACE = Mini()
NOISE = torch.Generator().manual_seed(0)
BATCHES = [
    (torch.randn(12, 1, 8, 8, generator=NOISE, dtype=torch.float64), torch.randint(10, (12,), generator=NOISE))
    for _ in range(5)
]


def make() -> Supernet:
    torch.manual_seed(0)
    net = SPACE.build(1, 10, 8).double()
    Split().attach(net, torch.zeros(2, 1, 8, 8).double())
    return net


def sgd(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameter_groups(net, 1e-2, True, None), 0.05, momentum=0.9)


def train_by_hand(net: Supernet, rank: int, ranks: int) -> Supernet:
    """Five fair steps, split before the third; each process has its share of the images and gradients are averaged."""
    optimizer, sampler = sgd(net.eval()), StrictFair(SPACE.sizes)
    for number, batch in enumerate(BATCHES):
        if number == 2:
            extend(optimizer, split_weights(net))
        images, labels = (part.chunk(ranks)[rank] for part in batch)
        optimizer.zero_grad(set_to_none=True)
        for path in sampler.plan()[0].routes:
            F.cross_entropy(net(images, path), labels).backward()
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        if ranks > 1:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            distributed.all_reduce(flat)  # one for all m paths
            parts = (flat / ranks).split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))
        optimizer.step()
    return net


def worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.save(train_by_hand(make(), rank, 2).state_dict(), Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()
