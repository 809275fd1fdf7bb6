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
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.space import SearchSpace
from src.supernet.inter_choice import copied_parameters
from src.supernet.path import ArchPath
from src.training.gradient_variance import GradientVariance, Moments
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


def two_passes(
    sampler: Recorded, module: SupernetStep, clipped: bool, correction: int = 0
) -> tuple[dict[str, float], int]:
    """Means of sigma^2 over weights by part, from the recorded gradients; weights that were sampled less than twice.

    With `correction` 1 the variance over S - 1.
    """
    net = module.net
    # whatever any path of the space may leave out
    everything = [(layer, c) for layer, size in enumerate(net.sizes) for c in range(size)]
    choices = {p for op in net.op_ids or everything for p in parameters_of(net, op)}
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
        sigmas[part].append(torch.stack(rows).var(0, correction=correction).flatten())
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
    wanted, _ = two_passes(sampler, module, clipped=False, correction=1)
    assert figures["gradient_variance/unbiased"] == pytest.approx(wanted[""], rel=1e-9)
    assert (figures["gradient_variance/raw"] > 1.5 * figures["gradient_variance/clipped"]) == (clip_norm is not None)


def narrow(share: int) -> NasBench201:
    space = NasBench201(cells=1, share=share)
    space.channels = (2, 2, 2)
    return space


@pytest.mark.parametrize(
    "space",
    [narrow(1), narrow(6), NasBench1Shot1(variant=1, cells=1, supernet_channels=2)],
    ids=["cells", "tied cells", "projections of 1Shot1"],
)
def test_operations_count_where_they_were_sampled_be_it_with_zeros_and_tied_ones_once_a_step(
    space: SearchSpace,
) -> None:
    sampler, module = measured(space, SPEC)
    assert module.variance is not None
    wanted, few = two_passes(sampler, module, clipped=False)
    for part in ("choices", "fixed"):
        assert module.variance.figures[f"gradient_variance/raw_{part}"] == pytest.approx(wanted[part], rel=1e-9)
    assert module.variance.figures["gradient_variance/unmeasured"] == few


def test_rows_of_tables_count_where_they_were_looked_up() -> None:
    paths: list[ArchPath] = [(0, 1, 0, 0, 0), (0, 1, 0, 0, 0), (1, 1, 0, 0, 0)]
    sampler, module = measured(Mini(), DIGITS, [Update((path,)) for path in paths], method="bias", steps=3)
    moments, table = Moments(), module.tables[0]
    number = next(i for i, parameter in enumerate(module.net.parameters()) if parameter is table)
    rows = torch.stack([g for _, _, gradients in sampler.kept if (g := gradients[number]) is not None])
    for gradient in rows:
        moments.add_rows(table, gradient)
    counts = torch.as_tensor(moments.steps[table])
    # the second layer's table, by the choices of the first and the second: (0, 1) twice, (1, 1) once
    assert counts[0, 1].item() == 2 and counts[1, 1].item() == 1 and counts.sum() == 3
    squares = moments.squares[table]
    torch.testing.assert_close(squares[0, 1] / 2, rows[:2, 0, 1].var(0, correction=0))
    assert squares.count_nonzero() <= squares[0, 1].numel()


@pytest.mark.parametrize("unsampled", ["frozen", "drifting"])
def test_after_a_split_the_copies_that_ran_are_measured_and_gates_are_too(unsampled: str) -> None:
    paths: list[Update] = [Update((path,)) for path in PATHS] * 3
    _, module = measured(Mini(), DIGITS, list(paths), method="split", unsampled=unsampled)
    assert module.variance is not None
    # 8 copies of 3 in 4 layers never ran before the split, and few of them since
    assert (
        module.variance.figures["gradient_variance/unmeasured"]
        > sum(p.numel() for p in copied_parameters(module.net)) / 2
    )
    _, gates = measured(Mini(), DIGITS, list(paths), method="attention")
    assert gates.variance is not None
    seconds = [b.dependence.second for _, b in gates.net.blocks() if b.dependence is not None]
    sampled = gates.variance.sampled_by(paths[0])
    assert all(any(p is q for q in sampled) for second in seconds for p in second.parameters())  # type: ignore[union-attr]


def test_what_is_noise_alone_has_a_relative_variance_without_bounds() -> None:
    """Whatever S is, unlike the population variance over the squared mean."""
    net, generator = Mini().build(*DIGITS).double(), torch.Generator().manual_seed(0)
    unbiased = []
    for steps in (2, 5, 20):
        variance = GradientVariance(net, is_sum=True)
        for _ in range(steps):
            for parameter in net.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            for kind in ("raw", "clipped"):
                variance.add(kind, Update((PATHS[0],)))
        figures = variance.measured()
        assert figures["gradient_variance/raw"] == pytest.approx((steps - 1) / steps, rel=0.05)
        unbiased.append(figures["gradient_variance/unbiased"])
        assert figures["gradient_variance/relative"] > 10
    assert unbiased == pytest.approx([1, 1, 1], rel=0.05)


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
