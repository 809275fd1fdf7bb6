"""Several processes that share an update make the update of one: in float64, over gloo."""

from __future__ import annotations

import functools
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
from src.samplers.network_space_search import NetworkSpaceSearch
from src.samplers.sampler import PlannedRun, Sampler
from src.samplers.strict_fair import StrictFair
from src.search_spaces.expanded import ExpandedMini
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace
from src.training.parallel import DataParallel, Parallelism, PathParallel
from tests.samplers.differentiable import Differentiable
from tests.training.short_training import assert_equal_states, state, train

STEPS = 6
CASES: dict[str, tuple[SearchSpace, InputSpec, str, dict[str, Any]]] = {
    "mini": (Mini(), InputSpec(1, 10, 8), "none", {}),
    "mini, architecture": (Mini(), InputSpec(1, 10, 8), "none", {}),
    "widths, architecture, hard": (ExpandedMini(depth=2, width=8), InputSpec(1, 10, 8), "none", {}),
    "widths, architecture, soft": (ExpandedMini(depth=2, width=8), InputSpec(1, 10, 8), "none", {}),
    "mini, window, split": (Mini(), InputSpec(1, 10, 8), "split", {"way": "window"}),
    "mini, mean, bias": (Mini(), InputSpec(1, 10, 8), "bias", {"reduction": "mean"}),
    "cells, window": (NasBench201(cells=1), InputSpec(3, 5, 8), "none", {"way": "window"}),
    "cells without statistics": (NasBench201(cells=1, running_stats=False), InputSpec(3, 5, 8), "none", {}),
}


def fit(name: str, parallelism: Parallelism, sampler: Sampler | None = None) -> dict[str, torch.Tensor]:
    space, input_spec, method, settings = CASES[name]
    settings = dict(settings)
    if isinstance(space, ExpandedMini):
        sampler = search_of(space, input_spec, name)
    elif "architecture" in name:
        sampler = Differentiable(space.sizes, seed=5, total_steps=STEPS)
    step = train(space, input_spec, method, STEPS, sampler, parallelism, **settings)
    return state(step) | {
        "hits": step.meters.hits,
        "loss": step.meters.loss,
        "passes": torch.tensor(step.meters.passes),
    }


def search_of(space: ExpandedMini, input_spec: InputSpec, name: str) -> Sampler:
    """A network space search whose first step is a warm-up."""
    search = NetworkSpaceSearch(
        space.sizes,
        seed=5,
        cost={"of": "macs", "target": 60e3, "weight": 1.0, "form": "log"},
        partition={"depth": 1, "width": 4},
        theta={"lr": 0.05, "betas": [0.5, 0.999], "weight_decay": 1e-3},
        warmup={"share": 1 / STEPS, "largest": True},
        weights=name.rpartition(" ")[2],
    )
    search.prepare(space, space.build(*input_spec), PlannedRun(STEPS, 1, input_spec))
    return search


def few_paths() -> Sampler:
    """Two paths: most choices have no gradient, and process 0 has others than process 1."""
    return Fixed(Mini().sizes, paths="0-1-2-0-1")


Kind = Callable[[int, int], Parallelism]


def worker(rank: int, size: int, port: int, folder: str, runs: list[tuple[Kind, list[str]]]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    for kind, names in runs:
        parallelism, out = kind(rank, size), Path(folder) / kind.__name__
        for name in names:
            with mock.patch.object(distributed, "all_reduce", wraps=distributed.all_reduce) as reductions:
                trained = fit(name, parallelism)
            trained["reductions"] = torch.tensor(reductions.call_count)
            torch.save(trained, out / f"{name}.{rank}.pt")
        torch.save(fit("mini", parallelism, few_paths()), out / f"few paths.{rank}.pt")
    distributed.destroy_process_group()


def run_on(size: int, runs: list[tuple[Kind, list[str]]], folder: Path) -> Path:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for kind, _ in runs:
        (folder / kind.__name__).mkdir()
    multiprocessing.spawn(worker, (size, port, str(folder), runs), nprocs=size)
    return folder


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both kinds of parallelism in two processes that are started once."""
    return run_on(2, [(kind, list(CASES)) for kind in (PathParallel, DataParallel)], tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def alone() -> Callable[[str], dict[str, torch.Tensor]]:
    """A case in one process."""
    return functools.cache(
        lambda name: fit("mini", Parallelism(), few_paths()) if name == "few paths" else fit(name, Parallelism())
    )


def check(folder: Path, name: str, size: int, wanted: dict[str, torch.Tensor]) -> list[int]:
    trained = [torch.load(folder / f"{name}.{rank}.pt", weights_only=True) for rank in range(size)]
    reductions = [int(states.pop("reductions", torch.tensor(0))) for states in trained]
    for states in trained:
        assert_equal_states(states, trained[0], 0, 0)  # bit for bit among each other
        assert_equal_states(states, wanted, 1e-7, 1e-9)
    return reductions


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_path_parallel_is_one_process_that_runs_all_paths(
    name: str, two_processes: Path, alone: Callable[[str], dict[str, torch.Tensor]]
) -> None:
    # one an update: all but the first step, a warm-up, have two
    updates = 2 * STEPS - 1 if "architecture" in name else STEPS
    assert check(two_processes / "PathParallel", name, 2, alone(name)) == [updates] * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_data_parallel_with_synchronised_norms_is_one_process_with_the_whole_batch(
    name: str, two_processes: Path, alone: Callable[[str], dict[str, torch.Tensor]]
) -> None:
    check(two_processes / "DataParallel", name, 2, alone(name))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PathParallel", "DataParallel"])
def test_processes_whose_choices_have_no_gradient_make_the_update_of_one(
    kind: str, two_processes: Path, alone: Callable[[str], dict[str, torch.Tensor]]
) -> None:
    check(two_processes / kind, "few paths", 2, alone("few paths"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PathParallel, DataParallel])
def test_three_processes_make_the_update_of_one(
    kind: Kind, tmp_path: Path, alone: Callable[[str], dict[str, torch.Tensor]]
) -> None:
    folder = run_on(3, [(kind, ["mini", "cells, window"])], tmp_path)
    for name in ["mini", "cells, window", "few paths"]:
        check(folder / kind.__name__, name, 3, alone(name))


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
