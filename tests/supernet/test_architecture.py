"""Architecture parameters: distributions, gradients and expected costs, in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from src.search_spaces.mini import Mini
from src.supernet.architecture import ArchitectureParameters, annealed

SIZES = (3, 4, 2)


def drawn_parameters(seed: int = 0, sizes: tuple[int, ...] = SIZES) -> ArchitectureParameters:
    """Random logits in float64."""
    generator = torch.Generator().manual_seed(seed)
    parameters = ArchitectureParameters(sizes).double()
    with torch.no_grad():
        for logits in parameters.logits:
            logits.copy_(torch.randn(len(logits), generator=generator, dtype=torch.float64))
    return parameters


def test_at_first_every_choice_is_as_likely_as_the_others() -> None:
    parameters = ArchitectureParameters(SIZES)
    assert [p.tolist() for p in parameters.probabilities()] == [pytest.approx([1 / m] * m) for m in SIZES]
    assert parameters.entropy().tolist() == pytest.approx([math.log(m) for m in SIZES])
    assert parameters.derive() == (0, 0, 0)  # the first of equals


def test_gumbel_max_draws_from_the_softmax() -> None:
    parameters, generator = drawn_parameters(), torch.Generator().manual_seed(1)
    n = 4000
    paths = [parameters.hard_path(parameters.noise(generator)) for _ in range(n)]
    for layer, p in enumerate(parameters.probabilities()):
        counts = torch.bincount(torch.tensor([path[layer] for path in paths]), minlength=len(p))
        assert stats.chisquare(counts.numpy(), n * p.detach().numpy()).pvalue > 1e-3


@pytest.mark.parametrize("temperature", [5.0, 1.0, 0.001])
def test_soft_weights_sum_to_one_and_point_where_the_hard_draw_does(temperature: float) -> None:
    parameters, generator = drawn_parameters(), torch.Generator().manual_seed(2)
    for _ in range(50):
        noise = parameters.noise(generator)
        weights = [w.detach() for w in parameters.soft_route(temperature, noise)]
        assert [float(w.sum()) for w in weights] == pytest.approx([1] * 3)
        assert tuple(int(w.argmax()) for w in weights) == parameters.hard_path(noise)
    if temperature == 0.001:
        assert max(float(w.max()) for w in weights) > 0.999


def test_extreme_noise_gives_no_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = ArchitectureParameters(SIZES)
    monkeypatch.setattr(torch, "rand", lambda m, **_: torch.zeros(m, dtype=torch.float64))
    noise = parameters.noise(torch.Generator())
    assert all(torch.isfinite(values).all() for values in noise)
    assert all(torch.isfinite(w).all() for w in parameters.soft_route(0.001, noise))


def test_the_gradient_is_that_of_finite_differences_under_the_same_noise() -> None:
    parameters, generator = drawn_parameters(), torch.Generator().manual_seed(3)
    noise = parameters.noise(generator)
    values = [torch.randn(m, generator=generator, dtype=torch.float64) for m in SIZES]

    def loss() -> Tensor:
        route = parameters.soft_route(0.7, noise)
        return torch.stack([(w @ v).square() for w, v in zip(route, values, strict=True)]).sum()

    loss().backward()
    for logits in parameters.logits:
        assert logits.grad is not None and logits.grad.abs().max() > 1e-3
        for choice in range(len(logits)):
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    logits[choice] += sign * 1e-6
                ends.append(loss().item())
                with torch.no_grad():
                    logits[choice] -= sign * 1e-6
            assert float(logits.grad[choice]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-9)


def test_the_expected_cost_is_the_mean_over_all_paths() -> None:
    space = Mini()
    parameters = drawn_parameters(4, space.sizes)
    table = space.additive_costs(space.reference)
    values = [torch.tensor([costs.macs for costs in layer], dtype=torch.float64) for layer in table.choices]
    expected = parameters.expected(values, table.fixed.macs)
    probabilities = [p.tolist() for p in parameters.probabilities()]
    paths = list(itertools.product(*(range(m) for m in space.sizes)))
    chances = [math.prod(p[c] for p, c in zip(probabilities, path, strict=True)) for path in paths]
    costs = [space.costs(path).macs for path in paths]
    assert sum(chances) == pytest.approx(1)
    mean = sum(chance * cost for chance, cost in zip(chances, costs, strict=True))
    assert expected.item() == pytest.approx(mean, rel=1e-12)
    # and its gradient: p_k (mean cost of the paths with choice k, less the mean of all)
    expected.backward()
    for layer, logits in enumerate(parameters.logits):
        assert logits.grad is not None
        for choice, p in enumerate(probabilities[layer]):
            having = [
                (chance, cost)
                for path, chance, cost in zip(paths, chances, costs, strict=True)
                if path[layer] == choice
            ]
            of_choice = sum(chance * cost for chance, cost in having) / p
            assert float(logits.grad[choice]) == pytest.approx(p * (of_choice - mean), rel=1e-9)


def test_noise_comes_from_the_generator_alone() -> None:
    parameters = ArchitectureParameters(SIZES)
    before = torch.get_rng_state()
    first, second = (parameters.noise(torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert {values.dtype for values in first} == {torch.float64}


def test_temperature_falls_in_a_line_to_its_end() -> None:
    assert [annealed(step, 5, 5.0, 0.001) for step in (0, 2, 4)] == pytest.approx([5, 2.5005, 0.001])
    assert annealed(0, 1, 5.0, 0.001) == 5
