"""Expectation fairness: SPOS's binomial counts (FairNAS, equation 1) and EF's repeated updates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from src.runtime.errors import UsageError
from src.samplers.fixed import Fixed
from src.samplers.one_shot import OneShot
from src.samplers.uniform import Uniform
from src.training.counts import Counts


def test_spos_counts_have_the_mean_and_variance_of_equation_1() -> None:
    n, m, trials = 60, 3, 400
    samples = []
    for seed in range(trials):
        sampler, counts = Uniform((m,), seed=seed), Counts((m,))
        for _ in range(n):
            counts.add(sampler.plan()[0].routes)
        samples.append(counts.values[0].numpy())
    found = np.array(samples)
    variance = n * (m - 1) / m**2
    assert np.abs(found.mean(0) - n / m).max() < 4.5 * math.sqrt(variance / trials)
    # The sd of a sample variance is about variance * sqrt(2 / trials).
    assert abs(found.var(0).mean() - variance) < 4.5 * variance * math.sqrt(2 / trials)


def test_spos_is_one_update_of_one_path_at_full_rate() -> None:
    (update,) = Uniform((6,) * 19).plan()
    assert len(update.routes) == 1
    assert update.lr_scale == 1


@pytest.mark.parametrize(("scale_lr", "lr_scale"), [(False, 1.0), (True, 1 / 6)])
def test_ef_repeats_one_path_k_times_with_k_the_number_of_choices(scale_lr: bool, lr_scale: float) -> None:
    sampler = Uniform((6, 6, 5), updates=None, scale_lr=scale_lr)
    plans = [sampler.plan() for _ in range(10)]
    for plan in plans:
        assert len(plan) == 6 == sampler.passes_per_step
        assert len({update.routes for update in plan}) == 1
        assert all(update.lr_scale == lr_scale for update in plan)
    assert len({plan[0].routes for plan in plans}) > 1


def test_one_shot_drops_nothing_at_first_and_r_to_the_1_over_m_at_last() -> None:
    m, steps, r = 4, 4000, 0.2
    sampler = OneShot((m,), total_steps=steps, r=r, combine="sum")
    kept = torch.stack([torch.as_tensor(sampler.plan()[0].routes[0][0]) for _ in range(steps)])
    assert kept[0].sum() == m
    final_rate = r ** (1 / m)
    late = kept[-400:]
    all_dropped = (final_rate * 0.95) ** m  # one choice is kept then: a little fewer drops than the rate
    expected = 1 - final_rate * 0.95 + all_dropped / m
    assert abs(late.mean().item() - expected) < 4.5 * math.sqrt(0.25 / late.numel())
    assert kept.sum(1).min() >= 1


def test_one_shot_mean_weights_sum_to_one() -> None:
    sampler = OneShot((3, 5), total_steps=10, r=0.5)
    for _ in range(10):
        for weights in sampler.plan()[0].routes[0]:
            assert torch.as_tensor(weights).sum().item() == pytest.approx(1)


def test_one_shot_state_continues_the_drop_rate() -> None:
    sampler, twin = OneShot((3,) * 4, total_steps=9), OneShot((3,) * 4, seed=5, total_steps=9)
    for _ in range(6):
        sampler.plan()
    twin.load_state_dict(sampler.state_dict())
    for _ in range(3):
        for mine, theirs in zip(sampler.plan()[0].routes[0], twin.plan()[0].routes[0], strict=True):
            assert torch.equal(torch.as_tensor(mine), torch.as_tensor(theirs))


@pytest.mark.parametrize("paths", ["2-0-1", [2, 0, 1], ["2-0-1"], [[2, 0, 1]]])
def test_fixed_takes_a_path_in_every_form(paths: object) -> None:
    sampler = Fixed((3, 3, 3), paths=paths)
    assert [update.routes for update in sampler.plan()] == [((2, 0, 1),)]


@pytest.mark.parametrize("paths", [None, "2-0", "2-0-3", "two"])
def test_fixed_refuses_what_is_no_path(paths: object) -> None:
    with pytest.raises(UsageError):
        Fixed((3, 3, 3), paths=paths)


def test_updates_below_one_are_refused() -> None:
    with pytest.raises(UsageError, match="1 or more"):
        Uniform((3,), updates=0)
