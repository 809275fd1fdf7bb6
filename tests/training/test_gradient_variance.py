"""The variance of the gradient over an epoch, against two passes over recorded gradients; noise on gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.samplers.observation import GRADIENT_NORMS, Observation
from src.samplers.plan import Plan, Update
from src.samplers.uniform import Uniform
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath
from src.training.gradient_variance import GradientVariance
from src.training.gradients import parameters_of
from src.training.step import SupernetStep
from src.training.step_settings import StepSettings
from tests.training.short_training import train

SPEC, DIGITS = InputSpec(3, 10, 8), InputSpec(1, 10, 8)
STEPS = 12
PATHS: list[ArchPath] = [(0, 1, 2, 0, 1), (1, 1, 2, 2, 0), (0, 2, 0, 0, 1), (0, 0, 1, 1, 1)]


class Recorded(Uniform):
    """Draws as SPOS, or as it is told, and keeps the gradients of each update with the factor of their clipping."""

    wants = frozenset({GRADIENT_NORMS})

    def __init__(self, space: SearchSpace, updates: list[Update] | None = None) -> None:
        super().__init__(space.sizes, seed=2)
        self.told, self.kept = list(updates or []), list[tuple[Update, Tensor, list[Tensor | None]]]()
        self.module: SupernetStep | None = None

    def plan(self) -> Plan:
        return [self.told.pop(0)] if self.told else super().plan()

    def observe(self, observation: Observation) -> None:
        assert self.module is not None and observation.norms is not None
        gradients = [None if p.grad is None else p.grad.clone() for p in self.module.net.parameters()]
        self.kept.append((observation.update, observation.norms.clip_factor, gradients))


def measured(
    space: SearchSpace,
    input_spec: InputSpec,
    updates: list[Update] | None = None,
    method: str = "none",
    steps: int = STEPS,
    **settings: Any,
) -> tuple[Recorded, SupernetStep]:
    """One epoch of STEPS steps or the first of them, its gradients recorded."""
    sampler = Recorded(space, updates)
    original = SupernetStep.on_train_start

    def starting(module: SupernetStep) -> None:
        sampler.module = module
        original(module)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupernetStep, "on_train_start", starting)
        settings |= {"gradient_variance": True, "epoch_steps": max(steps, STEPS)}
        module = train(space, input_spec, method, steps, sampler, **settings)
    return sampler, module


def two_passes(sampler: Recorded, module: SupernetStep, clipped: bool) -> tuple[dict[str, float], int]:
    """Means of sigma^2 over weights by part, from the recorded gradients; weights that were sampled less than twice."""
    net = module.net
    choices = {p for _, block in net.blocks() for p in block.parameters()}
    sigmas: dict[str, list[Tensor]] = {"choices": [], "fixed": []}
    few = 0
    for number, parameter in enumerate(net.parameters()):
        rows = []
        for update, factor, gradients in sampler.kept:
            ops = {op for route in update.routes for op in net.operations(route)}
            runs = parameter not in choices or any(parameter is p for op in ops for p in parameters_of(net, op))
            if runs:
                gradient = gradients[number]
                gradient = torch.zeros_like(parameter) if gradient is None else gradient
                rows.append(gradient / len(update.routes) / (1 if clipped else factor))
        if len(rows) < 2:
            few += parameter.numel()
            continue
        part = "choices" if parameter in choices else "fixed"
        sigmas[part].append(torch.stack(rows).var(0, correction=0).flatten())
    means = {part: torch.cat(values).mean().item() for part, values in sigmas.items()}
    return means | {"": torch.cat([*sigmas["choices"], *sigmas["fixed"]]).mean().item()}, few


@pytest.mark.parametrize("clip_norm", [None, 0.3])
@pytest.mark.parametrize(
    "updates",
    [None, [Update(tuple(PATHS[i % 4 :] + PATHS[: i % 4])[:3]) for i in range(STEPS)]],
    ids=["one path", "three paths"],
)
def test_one_pass_is_two_passes(updates: list[Update] | None, clip_norm: float | None) -> None:
    sampler, module = measured(Mini(), DIGITS, updates, clip_norm=clip_norm)
    assert module.variance is not None
    figures = module.variance.figures
    for kind in ("raw", "clipped"):
        wanted, few = two_passes(sampler, module, kind == "clipped")
        for name, value in wanted.items():
            assert figures[f"gradient_variance/{kind}{'_' * bool(name)}{name}"] == pytest.approx(value, rel=1e-9)
        assert figures["gradient_variance/unmeasured"] == few
    assert (figures["gradient_variance/raw"] > 1.5 * figures["gradient_variance/clipped"]) == (clip_norm is not None)


@pytest.mark.parametrize("share", [1, 6])
def test_operations_that_reach_nothing_count_as_zeros_and_tied_ones_once_a_step(share: int) -> None:
    space = NasBench201(cells=1, share=share)
    space.channels = (2, 2, 2)
    sampler, module = measured(space, SPEC)
    assert module.variance is not None
    wanted, few = two_passes(sampler, module, clipped=False)
    assert module.variance.figures["gradient_variance/raw_choices"] == pytest.approx(wanted["choices"], rel=1e-9)
    assert module.variance.figures["gradient_variance/unmeasured"] == few


def test_rows_of_tables_count_where_they_were_looked_up() -> None:
    paths: list[ArchPath] = [(0, 1, 0, 0, 0), (0, 1, 0, 0, 0), (1, 1, 0, 0, 0)]
    sampler, module = measured(Mini(), DIGITS, [Update((path,)) for path in paths], method="bias", steps=3)
    variance = GradientVariance(module.net, is_sum=True)
    table = module.tables[0]
    number = next(i for i, parameter in enumerate(module.net.parameters()) if parameter is table)
    rows = torch.stack([g for _, _, gradients in sampler.kept if (g := gradients[number]) is not None])
    for gradient in rows:
        variance.add([table], [[gradient, gradient]])
    counts = torch.as_tensor(variance.steps[table])
    # the second layer's table, by the choices of the first and the second: (0, 1) twice, (1, 1) once
    assert counts[0, 1].item() == 2 and counts[1, 1].item() == 1 and counts.sum() == 3
    squares = variance.moments[table][1][0]
    torch.testing.assert_close(squares[0, 1] / 2, rows[:2, 0, 1].var(0, correction=0))
    assert squares.count_nonzero() <= squares[0, 1].numel()


def test_noise_raises_the_variance_of_choices_by_its_own_and_draws_from_a_generator_of_its_own() -> None:
    path: ArchPath = (0, 1, 2, 0, 1)
    deviation, figures, paths = 0.5, [], []
    for noise in (0.0, deviation):
        sampler, module = measured(Mini(), DIGITS, [Update((path,))] * 60, steps=61, gradient_noise=noise)
        assert module.variance is not None
        figures.append(module.variance.figures)
        paths.append(sampler.kept[-1][0].routes)
    quiet, noisy = (f["gradient_variance/raw_choices"] for f in figures)
    # a variance of n draws is (n - 1) / n of sigma^2 on average; thousands of weights
    assert noisy - quiet == pytest.approx(deviation**2 * 60 / 61, rel=0.05)
    assert figures[0]["gradient_variance/raw_fixed"] == pytest.approx(
        figures[1]["gradient_variance/raw_fixed"], rel=0.5
    )
    assert paths[0] == paths[1]
    with pytest.raises(UsageError, match=r"step\.gradient_noise=-1"):
        StepSettings(gradient_noise=-1.0)


def test_its_state_is_whole() -> None:
    _, module = measured(Mini(), DIGITS, steps=5)
    other = GradientVariance(module.net, is_sum=True)
    assert module.variance is not None
    other.load_state_dict(module.variance.state_dict())
    assert other.measured() == module.variance.measured()
    assert other.epoch_rows(torch.zeros(1)) == []
