"""Split weights while they train: under strict fairness, accumulation, and on two processes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import distributed, multiprocessing, nn
from torch.nn import functional as F

from src.samplers.strict_fair import StrictFair
from src.search_spaces.mini import Mini
from src.supernet.inter_choice import Split, copied_parameters, split_weights
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet
from src.training.optimizer import extend, parameter_groups
from src.training.step import StepSettings, SupernetStep
from tests.training.test_step import Loader, batches

SPACE = Mini()


def make() -> Supernet:
    torch.manual_seed(0)
    net = SPACE.build(1, 10, 8).double()
    Split().attach(net, torch.zeros(2, 1, 8, 8).double())
    return net


def sgd(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameter_groups(net, 1e-2, True, None), 0.05, momentum=0.9)


def fit(net: Supernet, steps: int, split_step: int, **settings: object) -> list[list[ArchPath]]:
    """Train by the real step; returns the paths of each step."""
    step = SupernetStep(net, StrictFair(SPACE.sizes), StepSettings(**settings), sgd, lambda _: 0.05, split_step)  # type: ignore[arg-type]
    planned = [StrictFair(SPACE.sizes)]
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(step, Loader(batches(steps)))
    return [list(planned[0].plan()[0].routes) for _ in range(steps)]  # type: ignore[arg-type]


def state(net: nn.Module) -> dict[tuple[int, int, int], torch.Tensor]:
    """(layer, choice before, choice) -> all its weights."""
    found = {}
    for layer, block in net.blocks():  # type: ignore[operator]
        for before in range(3 if layer else 1):
            for choice in range(3):
                parameters = list(block.operation(choice, (before,) if layer else ()).parameters())
                found[layer, before, choice] = torch.cat([p.detach().flatten() for p in [*parameters, torch.zeros(1)]])
    return found


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_step_moves_the_copies_on_its_paths_and_no_others(reduction: str) -> None:
    before, after = make(), make()
    fit(before, 4, split_step=3, reduction=reduction)
    *_, paths = fit(after, 5, split_step=3, reduction=reduction)
    used = {(layer, path[layer - 1] if layer else 0, path[layer]) for path in paths for layer in range(5)}
    moved = {key for key, value in state(after).items() if not torch.equal(value, state(before)[key])}
    with_weights = {key for key, value in state(after).items() if len(value) > 1}
    assert moved == used & with_weights
    assert len(used) == 15  # strict fairness: every choice once, so one copy of each


def test_until_the_split_it_is_the_net_without() -> None:
    split, plain = make(), make()
    fit(split, 3, split_step=3)
    fit(plain, 3, split_step=10)
    assert not copied_parameters(split)
    for mine, theirs in zip(split.parameters(), plain.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def train_by_hand(net: Supernet, rank: int, ranks: int) -> Supernet:
    """Five fair steps, split before the third; each process has its share of the images and gradients are averaged."""
    optimizer, sampler = sgd(net.eval()), StrictFair(SPACE.sizes)
    for number, batch in enumerate(batches(5)):
        if number == 2:
            extend(optimizer, split_weights(net))
        images, labels = batch.images.chunk(ranks)[rank], batch.labels.chunk(ranks)[rank]
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


def test_two_processes_with_one_reduction_a_step_are_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(worker, (port, str(tmp_path)), nprocs=2)
    alone = train_by_hand(make(), 0, 1).state_dict()
    states = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert alone.keys() == states[0].keys()
    for key, value in alone.items():
        assert torch.equal(states[0][key], states[1][key])
        torch.testing.assert_close(states[0][key], value, rtol=1e-9, atol=1e-11)
