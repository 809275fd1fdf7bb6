"""Network Space Search: partition, expected costs, draws, and what its plans train."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from src import rank, retrain, search
from src.datasets.input_spec import InputSpec
from src.runtime.elite_space import ELITE_SPACE
from src.runtime.errors import UsageError
from src.runtime.launch import launch
from src.runtime.run_folder import IMPORTANCE
from src.samplers.network_space_search import NetworkSpaceSearch
from src.samplers.plan import ARCHITECTURE
from src.samplers.sampler import PlannedRun
from src.search_spaces.expanded import Expanded, ExpandedMini
from src.search_spaces.mini import Mini
from src.search_spaces.network_spaces import NetworkSpaces, hit_share
from src.supernet.path import ArchPath
from src.train import main
from tests.test_bad_input import check_one_line

DIGITS = InputSpec(1, 10, 8)
THETA = {"lr": 0.02, "betas": [0.5, 0.999], "weight_decay": 1e-3}
COST = {"of": "macs", "target": 400e3, "weight": 1.0, "form": "log"}
PARTITION = {"depth": 2, "width": 8}
WARMUP = {"share": 0.3, "largest": True}


def made(steps: int = 100, space: Expanded | None = None, **changes: Any) -> NetworkSpaceSearch:
    space = space or ExpandedMini()
    settings: dict[str, Any] = {"cost": COST, "partition": PARTITION, "theta": THETA, "warmup": WARMUP} | changes
    sampler = NetworkSpaceSearch(space.sizes, 3, **settings)
    sampler.prepare(space, space.build(*DIGITS), PlannedRun(steps, 10, DIGITS))
    return sampler


def spaces_of(space: Expanded, partition: dict[str, int], input_spec: InputSpec = DIGITS) -> NetworkSpaces:
    return NetworkSpaces.of(space, partition, input_spec)


def one_hot(path: ArchPath, space: Expanded) -> list[Tensor]:
    return [torch.eye(m, dtype=torch.float64)[c] for c, m in zip(path, space.sizes, strict=True)]


def test_spaces_tile_the_whole() -> None:
    spaces = spaces_of(ExpandedMini(), PARTITION)
    assert spaces.counts == [2, 4] * 3
    assert math.prod(spaces.counts) == 512
    assert spaces.names(0) == ["1-2", "3-4"] and spaces.names(1) == ["1-8", "9-16", "17-24", "25-32"]
    whole = spaces_of(Expanded(), {"depth": 4, "width": 32}, InputSpec(3, 10, 32))
    assert math.prod(whole.counts) == 262_144
    # every choice is in one range
    drawn = [spaces.draw_values(torch.Generator().manual_seed(seed)) for seed in range(300)]
    for layer, (m, width) in enumerate(zip(spaces.sizes, spaces.widths, strict=True)):
        for k in range(m // width):
            assert {int(each[layer][k]) for each in drawn} == set(range(k * width, (k + 1) * width))


@pytest.mark.parametrize("of", ["macs", "params"])
def test_the_expected_cost_of_one_network_is_its_cost(of: str) -> None:
    space = ExpandedMini()
    spaces = spaces_of(space, PARTITION)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        path = space.sample(generator)
        assert spaces.expected(of, one_hot(path, space)).item() == pytest.approx(spaces.cost(of, path), rel=1e-12)


def test_the_uniform_mean_of_all_two_million_networks() -> None:
    """1,224,783 exactly, and 17.21 G of the whole space; with (E w)^2 for E w^2 a fifth and a quarter too low."""
    for space, spec, mean in ((ExpandedMini(), DIGITS, 1_224_783), (Expanded(), InputSpec(3, 10, 32), 17.21e9)):
        spaces = spaces_of(space, {"depth": 2, "width": 8}, spec)
        uniform = [torch.full((m,), 1 / m, dtype=torch.float64) for m in space.sizes]
        assert spaces.expected("macs", uniform).item() == pytest.approx(mean, rel=1e-12 if mean < 1e9 else 3e-4)


@pytest.mark.parametrize("of", ["macs", "params"])
def test_the_expected_cost_of_two_million_networks_by_enumeration(of: str) -> None:
    """Random weights of every decision, against all 2,097,152 networks one by one."""
    space = ExpandedMini()
    spaces = spaces_of(space, PARTITION)
    generator = torch.Generator().manual_seed(5)
    weights = [torch.rand(m, generator=generator, dtype=torch.float64) for m in space.sizes]
    weights = [w / w.sum() for w in weights]
    p = weights[0]
    for each in weights[1:]:
        p = (p[:, None] * each).flatten()
    every = torch.cartesian_prod(*(torch.arange(m) for m in space.sizes))
    total = sum(
        (chunk @ spaces.costs_of(of, paths) for chunk, paths in zip(p.split(2**17), every.split(2**17), strict=True))
    )
    assert spaces.expected(of, weights).item() == pytest.approx(float(total), rel=1e-10)


@pytest.mark.parametrize("of", ["macs", "params"])
def test_the_expected_cost_under_theta_is_the_mean_over_spaces_and_so_is_its_gradient(of: str) -> None:
    """4,096 networks in 64 spaces, all enumerated: sum over A of P(A) times the mean of A (equation S1)."""
    space = ExpandedMini(depth=2, width=8)
    partition = {"depth": 1, "width": 4}
    spaces = spaces_of(space, partition)
    sampler = made(space=space, partition=partition, cost=COST | {"target": 50e3})
    theta = sampler.architecture.double()
    with torch.no_grad():
        for logits in theta.logits:
            logits.normal_(generator=torch.Generator().manual_seed(len(logits)))
    expected = spaces.expected(of, spaces.spread(theta.probabilities()))
    expected.backward()
    # by enumeration
    probabilities = [p.detach() for p in theta.probabilities()]
    chances, costs, ranges = [], [], []
    for path in itertools.product(*map(range, space.sizes)):
        at = [c // width for c, width in zip(path, spaces.widths, strict=True)]
        chances.append(math.prod(float(p[k]) / w for p, k, w in zip(probabilities, at, spaces.widths, strict=True)))
        costs.append(spaces.cost(of, path))
        ranges.append(at)
    p, f = torch.tensor(chances, dtype=torch.float64), torch.tensor(costs, dtype=torch.float64)
    assert p.sum().item() == pytest.approx(1)
    assert expected.item() == pytest.approx((p @ f).item(), rel=1e-12)
    for layer, logits in enumerate(theta.logits):
        assert logits.grad is not None
        for k in range(len(logits)):
            inside = torch.tensor([at[layer] == k for at in ranges])
            share = p[inside].sum()
            wanted = share * ((p[inside] @ f[inside]) / share - p @ f)
            assert logits.grad[k].item() == pytest.approx(wanted.item(), rel=1e-9)


def test_a_mixture_has_the_weights_of_the_ranges_at_their_choices() -> None:
    sampler = made()
    generator = torch.Generator().manual_seed(0)
    noise, values = sampler.architecture.noise(generator), sampler.spaces.draw_values(generator)
    soft = sampler.architecture.soft_route(2.0, noise)
    for weights, shares, at, size in zip(sampler.mixture(2.0, noise, values), soft, values, sampler.sizes, strict=True):
        assert len(weights) == size and weights.detach().sum().item() == pytest.approx(1)
        assert torch.equal(weights[at], shares)
        assert int((weights != 0).sum()) == len(at)


def test_networks_of_a_plan_are_uniform_within_uniform_spaces() -> None:
    """At Theta 0, after the warm-up: every choice alike."""
    sampler = made(steps=1200, warmup=None)
    paths = []
    for _ in range(1200):
        _, weights = sampler.plan()
        (path,) = weights.routes
        paths.append(path)
    for layer, m in enumerate(sampler.sizes):
        counts = Counter(str(path[layer]) for path in paths)
        assert len(counts) == m
        assert max(counts.values()) < 1.7 * 1200 / m


def test_the_warm_up_trains_weights_alone_and_starts_with_the_largest_network() -> None:
    """The largest size is used (T_w + 1) / 2 times on average in T_w steps, beyond what chance draws."""
    sampler = made(steps=1000, warmup={"share": 0.4, "largest": True})
    largest = tuple(m - 1 for m in sampler.sizes)
    plans = [sampler.plan() for _ in range(1000)]
    assert plans[0][0].routes == (largest,)
    assert [len(plan) for plan in plans] == [1] * 400 + [2] * 600
    assert sum(len(update.routes) for plan in plans for update in plan) == sampler.passes_in(1000) == 1600
    for layer, m in enumerate(sampler.sizes):
        count = [plan[0].routes[0][layer] for plan in plans[:400]].count(m - 1)
        enabled = (400 + 1) / 2
        wanted = enabled + (400 - enabled) / m
        assert abs(count - wanted) < 5 * math.sqrt((400**2 - 1) / (6 * 400) + 400 / m)
    assert sum(sampler.largest_share(step) for step in range(400)) == pytest.approx(401 / 2)
    assert sampler.largest_share(400) == 0
    without = made(steps=1000, warmup={"share": 0.4, "largest": False})
    assert without.largest_share(0) == 0


def test_theta_goes_first_and_pays_for_the_distance_to_the_target() -> None:
    terms: dict[str, Callable[[float], float]] = {"log": lambda r: abs(math.log(r)), "abs": lambda r: abs(r - 1)}
    for form, term in terms.items():
        sampler = made(warmup=None, cost=COST | {"form": form, "weight": 3.0})
        theta, weights = sampler.plan()
        assert (theta.trains, weights.trains) == (ARCHITECTURE, "weights")
        (route,) = theta.routes
        mean = sampler.spaces.expected("macs", [w.detach() for w in route if isinstance(w, Tensor)]).item()
        assert theta.penalty is not None
        assert theta.penalty.item() == pytest.approx(3 * term(mean / 400e3), rel=1e-5)
    soft = made(warmup=None, weights="soft").plan()[1]
    assert all(isinstance(w, Tensor) and not w.requires_grad for w in soft.routes[0])


def test_the_share_of_hits() -> None:
    assert hit_share(torch.tensor([89.0, 90.0, 100.0, 110.0, 111.0]), 100.0) == 0.6
    spaces = spaces_of(ExpandedMini(), PARTITION)
    # facts: uniform draws hit a tenth around 400 k once in 19
    generator, space = torch.Generator().manual_seed(0), ExpandedMini()
    costs = torch.tensor([spaces.cost("macs", space.sample(generator)) for _ in range(4000)], dtype=torch.float64)
    assert 1 / hit_share(costs, 400e3) == pytest.approx(19, rel=0.25)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"partition": {"depth": 3, "width": 8}}, "partition.depth=3 does not tile the 4 depths of stage 1"),
        ({"partition": {"depth": 2, "width": 5}}, "partition.width=5"),
        ({"partition": {"depth": None}}, "search_space=expanded"),
        ({"cost": COST | {"target": None}}, "cost.target"),
        ({"cost": COST | {"target": 6e6}}, "10,694 to 5,792,576"),
        ({"cost": COST | {"of": "params", "target": 100}}, "253 to 218,722"),
        ({"temperature": [1]}, "two temperatures"),
        ({"temperature": [5, 1e-4]}, "at least 0.001"),
        ({"theta": THETA | {"betas": [0.5]}}, "betas are two numbers"),
        ({"theta": THETA | {"lr": 0}}, "leaves Theta as it is"),
        ({"warmup": {"share": 1.0, "largest": True}}, "sampler.warmup.share=1 leaves Theta"),
    ],
)
def test_bad_input_names_what_would_do(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(UsageError, match=names.replace(".", r"\.")):
        made(**changes)


def test_projections_that_depend_on_widths_are_refused() -> None:
    with pytest.raises(UsageError, match="shortcut=always, not he"):
        made(space=ExpandedMini(shortcut="he"))


def test_the_warm_up_uses_the_largest_as_often_as_it_says() -> None:
    """Of T_w steps (T_w + 1) / 2 on average, with variance (T_w^2 - 1) / (6 T_w)."""
    sampler = made(warmup={"share": 0.3, "largest": True}, steps=200)
    until = sampler.warmup_steps(200)
    shares = [sampler.largest_share(step) for step in range(200)]
    assert sum(shares) == pytest.approx((until + 1) / 2)
    assert sum(p * (1 - p) for p in shares) == pytest.approx((until**2 - 1) / (6 * until))


def test_the_mean_cost_of_an_elite_space_is_that_of_its_networks() -> None:
    sampler = made()
    space = sampler.elite_space()
    drawn = sampler.spaces.drawn_costs("macs", sampler.architecture.derive())
    assert space["cost"]["mean"] == pytest.approx(drawn.mean().item(), rel=0.02)
    # under Theta, uniform at first, all networks are as likely
    assert space["cost"]["expected"] == pytest.approx(1_224_783, rel=1e-6)
    assert space["settings"] == {"stem": 8, "strides": [1, 2, 2], "shortcut": "always", "last_relu": "after"}


def test_a_rate_that_cannot_decide_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    made(theta=THETA | {"lr": 3e-4})
    assert (
        "warning: sampler.theta.lr=0.0003 cannot decide among 4 ranges in 70 updates: 0.024" in capsys.readouterr().out
    )
    made(steps=500)
    assert not capsys.readouterr().out


SEARCH = ["experiment=nss", "sampler.theta.lr=0.5", "sampler.warmup.share=0.5"]
SHORT = ["logger=csv", "validation.paths=2", "validation.calibration_images=50", "ranking.paths=2"]
SHORT += ["ranking.images=50", "ranking.calibration_images=50", "budget.steps=14"]


def train(folder: Path, *arguments: str) -> int:
    return launch("train", main, [*SHORT, f"hydra.run.dir={folder}", *arguments])


@pytest.mark.slow
def test_an_elite_space_is_written_and_is_a_search_space(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "nss", *SEARCH) == 0
    space = OmegaConf.load(tmp_path / "nss" / ELITE_SPACE)
    assert len(space.ranges) == len(space.probabilities) == 6
    assert 0 <= space.within_a_tenth <= 1
    table = pd.read_csv(tmp_path / "nss" / IMPORTANCE)
    assert table[table.figure == "expected_macs"].value.iloc[0] == pytest.approx(1_224_783)  # nothing learnt yet
    assert table[table.figure == "expected_macs"].value.iloc[-1] < 1_224_783
    within = f"search_space.within={tmp_path / 'nss'}"
    assert train(tmp_path / "within", "search_space=expanded_mini", "sampler=spos", within) == 0
    # commands that load the supernet leave Theta aside
    capsys.readouterr()
    run = f"run={tmp_path / 'nss'}"
    assert launch("rank", rank.main, [run, "paths=3", "images=50", "calibration_images=50"]) == 0
    search_folder = f"hydra.run.dir={tmp_path / 'search'}"
    quick = ["images=50", "calibration_images=50", "budget.models=8", "searcher.population=8", "logger=csv"]
    assert launch("search", search.main, [run, "limit.macs=[300e3,900e3]", *quick, search_folder]) == 0
    assert launch("search", search.main, [run, "limit.macs=[1,2]", *quick, search_folder + "_2"]) == 2
    check_one_line(capsys.readouterr().err, "10694 and 5792576")
    inherited = ["arch=1x4-2x5-1x6", "weights=inherited", "budget.steps=1", "logger=csv"]
    assert launch("retrain", retrain.main, [run, *inherited, f"hydra.run.dir={tmp_path / 'network'}"]) == 0
    capsys.readouterr()
    assert train(tmp_path / "other", *SEARCH, "search_space=mini", "benchmark=none") == 2
    check_one_line(capsys.readouterr().err, "search_space=expanded")


def test_the_space_has_to_have_widths_and_depths() -> None:
    with pytest.raises(UsageError, match="search_space=expanded"):
        NetworkSpaceSearch(Mini().sizes, cost=COST, partition=PARTITION, theta=THETA)
