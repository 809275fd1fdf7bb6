"""Split weights while they train: under strict fairness, accumulation, and on two processes."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import multiprocessing

from src.samplers.strict_fair import StrictFair
from src.supernet.inter_choice import copied_parameters
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet
from src.training.step import SupernetStep
from src.training.step_settings import StepSchedule, StepSettings
from tests.supernet.split_by_hand import SPACE, make, sgd, train_by_hand, worker
from tests.training.test_step import Loader, batches


def fit(net: Supernet, steps: int, split_step: int, **settings: object) -> list[list[ArchPath]]:
    """Train by the real step; returns the paths of each step."""
    schedule = StepSchedule(lambda _: 0.05, split_step)
    step = SupernetStep(net, StrictFair(SPACE.sizes), StepSettings(**settings), sgd, schedule)  # type: ignore[arg-type]
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


def state(net: Supernet) -> dict[tuple[int, int, int], torch.Tensor]:
    """(layer, choice before, choice) -> all its weights."""
    weights = {}
    for layer, block in net.blocks():
        for before in range(3 if layer else 1):
            for choice in range(3):
                parameters = list(block.operation(choice, (before,) if layer else ()).parameters())
                weights[layer, before, choice] = torch.cat(
                    [p.detach().flatten() for p in [*parameters, torch.zeros(1)]]
                )
    return weights


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


@pytest.mark.slow
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
