"""The three currencies of a budget, and the learning rate along it."""

from __future__ import annotations

import pytest

from src.runtime.errors import UsageError
from src.training.budget import cosine, plan_budget


@pytest.mark.parametrize(
    ("asked", "steps"),
    [
        ({"epochs": 3}, 30),
        ({"epochs": 0.5}, 5),
        ({"steps": 7}, 7),
        ({"backward_passes": 90}, 30),
        ({"backward_passes": 92}, 30),
        ({}, 20),
    ],
)
def test_every_kind_comes_to_steps(asked: dict[str, float | None], steps: int) -> None:
    budget = plan_budget(asked, default_epochs=2, epoch_steps=10, passes_in=lambda steps: 3 * steps)
    assert budget.steps == steps
    assert budget.backward_passes == 3 * steps
    assert budget.epochs == steps / 10


def test_equal_passes_give_one_path_methods_m_times_the_steps() -> None:
    fair = plan_budget({"backward_passes": 600}, 1, 10, passes_in=lambda steps: 6 * steps)
    single = plan_budget({"backward_passes": 600}, 1, 10, passes_in=lambda steps: steps)
    assert (fair.steps, single.steps) == (100, 600)
    assert fair.backward_passes == single.backward_passes


@pytest.mark.parametrize("passes", [1, 10, 11, 12, 100, 101])
def test_steps_that_cost_more_later_on_are_bought_as_far_as_the_passes_go(passes: int) -> None:
    """A quarter of the run takes one pass a step, the rest two."""

    def passes_in(steps: int) -> int:
        return 2 * steps - steps // 4

    budget = plan_budget({"backward_passes": passes}, 1, 10, passes_in) if passes > 1 else None
    if budget is None:
        with pytest.raises(UsageError):
            plan_budget({"backward_passes": passes}, 1, 10, passes_in)
    else:
        assert budget.backward_passes == passes_in(budget.steps) <= passes < passes_in(budget.steps + 1)


@pytest.mark.parametrize("asked", [{"epochs": 1, "steps": 2}, {"steps": 0}, {"backward_passes": 2}])
def test_two_kinds_or_less_than_a_step_are_refused(asked: dict[str, float | None]) -> None:
    with pytest.raises(UsageError):
        plan_budget(asked, 1, 10, lambda steps: 3 * steps)


def test_cosine_starts_at_the_peak_and_ends_near_the_final_rate() -> None:
    rates = [cosine(step, 100, peak=1.0, final=0.1, warmup=0) for step in range(100)]
    assert rates[0] == 1.0
    assert rates[50] == pytest.approx(0.55)
    assert 0.1 < rates[-1] < 0.101
    assert rates == sorted(rates, reverse=True)


def test_warm_up_rises_linearly_to_the_peak() -> None:
    rates = [cosine(step, 100, peak=1.0, final=0.0, warmup=4) for step in range(6)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5] < 1.0


def test_a_warm_up_as_long_as_the_run_never_divides_by_zero() -> None:
    assert [cosine(step, 3, 1.0, 0.0, 3) for step in range(3)] == pytest.approx([0.25, 0.5, 0.75])
