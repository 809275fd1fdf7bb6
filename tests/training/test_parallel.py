"""Several processes that share an update make the update of one: in float64, over gloo."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import distributed, multiprocessing

from src.datasets.input_spec import InputSpec
from src.samplers.fixed import Fixed
from src.samplers.sampler import Sampler
from src.samplers.strict_fair import StrictFair
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace
from src.training.parallel import DataParallel, Parallelism, PathParallel
from tests.training.short_training import assert_equal_states, state, train

STEPS = 6
CASES: dict[str, tuple[SearchSpace, InputSpec, str, dict[str, Any]]] = {
    "mini": (Mini(), InputSpec(1, 10, 8), "none", {}),
    "mini, window, split": (Mini(), InputSpec(1, 10, 8), "split", {"way": "window"}),
    "mini, mean, bias": (Mini(), InputSpec(1, 10, 8), "bias", {"reduction": "mean"}),
    "cells, window": (NasBench201(cells=1), InputSpec(3, 5, 8), "none", {"way": "window"}),
    "cells without statistics": (NasBench201(cells=1, running_stats=False), InputSpec(3, 5, 8), "none", {}),
}


def fit(name: str, parallelism: Parallelism, sampler: Sampler | None = None) -> dict[str, torch.Tensor]:
    space, input_spec, method, settings = CASES[name]
    settings = dict(settings)
    step = train(space, input_spec, method, STEPS, sampler, parallelism, **settings)
    return state(step) | {
        "hits": step.meters.hits,
        "loss": step.meters.loss,
        "passes": torch.tensor(step.meters.passes),
    }


def few_paths() -> Sampler:
    """Two paths: most choices have no gradient, and process 0 has others than process 1."""
    return Fixed(Mini().sizes, paths="0-1-2-0-1")


def worker(
    rank: int, size: int, port: int, folder: str, kind: Callable[[int, int], Parallelism], names: list[str]
) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    for number, name in enumerate(names):
        with mock.patch.object(distributed, "all_reduce", wraps=distributed.all_reduce) as reductions:
            found = fit(name, kind(rank, size))
        found["reductions"] = torch.tensor(reductions.call_count)
        torch.save(found, Path(folder) / f"{number}.{rank}.pt")
    torch.save(fit("mini", kind(rank, size), few_paths()), Path(folder) / f"fixed.{rank}.pt")
    distributed.destroy_process_group()


def run_on(size: int, kind: Callable[[int, int], Parallelism], names: list[str], folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(worker, (size, port, str(folder), kind, names), nprocs=size)


def check(folder: Path, name: str, size: int, wanted: dict[str, torch.Tensor]) -> list[int]:
    found = [torch.load(folder / f"{name}.{rank}.pt", weights_only=True) for rank in range(size)]
    reductions = [int(states.pop("reductions", torch.tensor(0))) for states in found]
    for states in found:
        assert_equal_states(states, found[0], 0, 0)  # bit for bit among each other
        assert_equal_states(states, wanted, 1e-7, 1e-9)
    return reductions


@pytest.mark.parametrize("size", [2, 3])
def test_path_parallel_is_one_process_that_runs_all_paths(size: int, tmp_path: Path) -> None:
    names = list(CASES) if size == 2 else ["mini", "cells, window"]
    run_on(size, PathParallel, names, tmp_path)
    for number, name in enumerate(names):
        assert check(tmp_path, str(number), size, fit(name, Parallelism())) == [STEPS] * size
    check(tmp_path, "fixed", size, fit("mini", Parallelism(), few_paths()))


def test_data_parallel_with_synchronised_norms_is_one_process_with_the_whole_batch(tmp_path: Path) -> None:
    names = list(CASES)
    run_on(2, DataParallel, names, tmp_path)
    for number, name in enumerate(names):
        check(tmp_path, str(number), 2, fit(name, Parallelism()))
    check(tmp_path, "fixed", 2, fit("mini", Parallelism(), few_paths()))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_shares_of_the_paths_are_contiguous_and_complete(size: int) -> None:
    routes = [(c,) for c in range(5)]
    shares = [routes[PathParallel(rank, size).mine(routes)] for rank in range(size)]
    assert [route for share in shares for route in share] == routes
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_data_parallel_reduces_once_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without synchronised norms; one process in its own group stands for several."""
    calls: list[int] = []
    monkeypatch.setattr(distributed, "all_reduce", lambda flat: calls.append(flat.numel()))
    space, input_spec, *_ = CASES["mini"]
    parallelism = DataParallel(0, 1)
    step = train(space, input_spec, steps=3, sampler=StrictFair(space.sizes, seed=5), parallelism=parallelism)
    assert len(calls) == 3
    parameters = sum(parameter.numel() for parameter in step.net.parameters())
    assert all(numel > parameters for numel in calls)
