"""Laws of network space search that hold over a whole space: what is drawn, and what Theta's update follows."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from src.datasets.input_spec import InputSpec
from src.samplers.network_space_search import NetworkSpaceSearch
from src.samplers.plan import ARCHITECTURE, Plan
from src.samplers.sampler import PlannedRun
from src.search_spaces.expanded import ExpandedMini
from src.search_spaces.network_spaces import NetworkSpaces
from src.supernet.batch_norm import norms_of
from tests.training.short_training import images, make_net, state, train

SPACE, DIGITS = ExpandedMini(depth=2, width=4), InputSpec(1, 10, 8)
PARTITION = {"depth": 1, "width": 2}


def made(seed: int = 0, steps: int = 10, **changes: Any) -> NetworkSpaceSearch:
    settings: dict[str, Any] = {
        "cost": {"of": "macs", "target": 25e3, "weight": 1.0, "form": "log"},
        "partition": PARTITION,
        "theta": {"lr": 0.5, "betas": [0.5, 0.999], "weight_decay": 1e-3},
    }
    sampler = NetworkSpaceSearch(SPACE.sizes, seed, **settings | changes)
    sampler.prepare(SPACE, SPACE.build(*DIGITS), PlannedRun(steps, 1, DIGITS))
    return sampler


def test_a_network_is_as_likely_as_its_space_divided_by_its_networks() -> None:
    """Equation S1: the mean over spaces of the mean in each is that over networks of P(space) / |space|."""
    sampler = made(steps=4000, warmup={"share": 0.99, "largest": False})
    sampler.architecture.double()
    torch.manual_seed(3)
    for logits in sampler.architecture.logits:
        torch.nn.init.normal_(logits, std=0.7)
    drawn = Counter(sampler.plan()[-1].routes[0] for _ in range(4000))
    probabilities = [p.detach() for p in sampler.architecture.probabilities()]
    widths = sampler.spaces.widths
    # few paths of each kind are expected: counted by the first four decisions
    expected: dict[tuple[int, ...], float] = {}
    for path in itertools.product(*map(range, SPACE.sizes[:4])):
        chances = [p[c // w].item() / w for c, p, w in zip(path, probabilities, widths, strict=False)]
        expected[path] = torch.tensor(chances, dtype=torch.float64).prod().item()
    assert sum(expected.values()) == pytest.approx(1)
    observed = Counter(path[:4] for path in drawn.elements())
    counts = [observed[path] for path in expected]
    assert stats.chisquare(counts, [4000 * p for p in expected.values()]).pvalue > 1e-3


def test_theta_follows_the_gradient_of_loss_and_cost_under_frozen_noise() -> None:
    """By finite differences in float64, none of them 0."""
    sampler = made()
    sampler.architecture.double()
    net = make_net(SPACE, DIGITS).train()
    for norm in norms_of([net]):
        norm.track_running_stats = False
    (batch,) = images(DIGITS, 1)
    noise, values = sampler.architecture.noise(sampler.generator), sampler.spaces.draw_values(sampler.generator)

    def loss() -> torch.Tensor:
        route = sampler.mixture(1.3, noise, values)
        return F.cross_entropy(net(batch.images, route), batch.labels) + sampler.penalty(route)

    loss().backward()
    for logits in sampler.architecture.logits:
        assert logits.grad is not None and logits.grad.abs().max() > 1e-5
        for choice in range(len(logits)):
            ends = []
            for sign in (1, -1, 0):
                with torch.no_grad():
                    logits[choice] += {1: 1e-6, -1: -2e-6, 0: 1e-6}[sign]
                    ends.append(loss().item())
            numeric = (ends[0] - ends[1]) / 2e-6
            assert float(logits.grad[choice]) == pytest.approx(numeric, rel=1e-4, abs=1e-8)


class Only(NetworkSpaceSearch):
    """Updates of one kind."""

    trains = ARCHITECTURE

    def plan(self) -> Plan:
        return [update for update in super().plan() if update.trains == self.trains]


@pytest.mark.parametrize("weights", ["hard", "soft"])
def test_an_update_of_theta_and_one_of_the_weights_leave_the_other_alone(weights: str) -> None:
    settings: dict[str, Any] = {
        "cost": {"of": "macs", "target": 25e3, "weight": 1.0, "form": "log"},
        "partition": PARTITION,
        "theta": {"lr": 0.5, "betas": [0.5, 0.999], "weight_decay": 1e-3},
        "weights": weights,
    }
    fresh = make_net(SPACE, DIGITS).state_dict()
    for kind in (ARCHITECTURE, "weights"):
        sampler = Only(SPACE.sizes, 0, **settings)
        sampler.trains = kind
        sampler.prepare(SPACE, SPACE.build(*DIGITS), PlannedRun(4, 1, DIGITS))
        step = train(SPACE, DIGITS, steps=4, sampler=sampler)
        moved = max(float(logits.detach().abs().max()) for logits in sampler.architecture.logits)
        same = [torch.equal(value, fresh[name]) for name, value in step.net.state_dict().items()]
        if kind == ARCHITECTURE:
            assert moved > 0.1 and all(same)
            assert not any(name.startswith(("momentum", "gradient")) for name in state(step))
        else:
            assert moved == 0 and not all(same)


def test_draws_until_a_network_hits() -> None:
    """On average one over the share of hits."""
    spaces = NetworkSpaces.of(ExpandedMini(), {"depth": 2, "width": 8}, DIGITS)
    generator = torch.Generator().manual_seed(0)
    costs = spaces.costs_of("macs", spaces.draw(200_000, generator))
    hits = ((costs - 400e3).abs() <= 40e3).nonzero().flatten()
    p = len(hits) / len(costs)
    gaps = hits.diff().double()
    assert abs(gaps.mean().item() - 1 / p) < 5 * (1 - p) ** 0.5 / p / len(gaps) ** 0.5
    # a geometric law: its deviation too
    assert gaps.std().item() == pytest.approx((1 - p) ** 0.5 / p, rel=0.05)
    assert 1 / p == pytest.approx(19, abs=1)
