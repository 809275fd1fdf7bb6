"""The batch norm layer in training: ghost batches, several paths at once, repeated passes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from src.search_spaces.mini import Mini
from src.supernet.batch_norm import BatchNorm, frozen_statistics, repeated, set_ghost_batch, stacked


def test_ghost_batches_are_normalised_on_their_own() -> None:
    x = torch.randn(64, 3, 4, 4)
    x[32:] += 5
    norm = BatchNorm(3)
    norm.ghost_batch = 32
    out = norm(x)
    for half in (out[:32], out[32:]):
        torch.testing.assert_close(half.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert norm.num_batches_tracked == 2
    norm.eval()
    reference = nn.BatchNorm2d(3).eval()
    reference.load_state_dict(norm.state_dict())
    assert torch.equal(norm(x), reference(x))


def test_without_ghost_batches_it_is_batch_norm_exactly() -> None:
    x = torch.randn(10, 3, 4, 4)
    ours, theirs = BatchNorm(3), nn.BatchNorm2d(3)
    assert torch.equal(ours(x), theirs(x))


def test_stacked_batches_and_repeated_passes_are_as_many_calls() -> None:
    x = torch.randn(12, 3, 4, 4, dtype=torch.float64)
    at_once, in_turn = BatchNorm(3).double(), BatchNorm(3).double()
    with stacked([at_once], 2):
        out = at_once(x)
    torch.testing.assert_close(out, torch.cat([in_turn(part) for part in x.chunk(2)]))
    with repeated([at_once], 3):
        out = at_once(x)
    torch.testing.assert_close(out, [in_turn(x) for _ in range(3)][-1])
    for ours, theirs in zip(at_once.buffers(), in_turn.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert (at_once.stacked, at_once.repeats) == (1, 1)


def test_set_ghost_batch_reaches_every_norm() -> None:
    net = Mini().build(1, 10, 8)
    set_ghost_batch(net, 16)
    assert {module.ghost_batch for module in net.modules() if isinstance(module, BatchNorm)} == {16}
    set_ghost_batch(net, None)
    assert {module.ghost_batch for module in net.modules() if isinstance(module, BatchNorm)} == {None}


@pytest.mark.parametrize("repeats", [1, 3])
def test_frozen_statistics_normalise_by_the_batch_and_stay_as_they_are(repeats: int) -> None:
    x = torch.randn(12, 3, 4, 4, dtype=torch.float64)
    norm, reference = BatchNorm(3).double(), BatchNorm(3).double()
    norm(2 * x + 1), reference(2 * x + 1)
    with frozen_statistics(norm), repeated([norm], repeats):
        out = norm(x)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(norm.buffers(), reference.buffers(), strict=True))
    assert torch.equal(out, reference(x))
    # afterwards they move again
    norm(x)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(norm.buffers(), reference.buffers(), strict=True))
