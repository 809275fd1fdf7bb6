from __future__ import annotations

import random

import pytest
import torch

from src.runtime.errors import UsageError
from src.standalone.retraining.erasing import Cutout, RandomErase, make_erasing


def test_cutout_hides_one_square_of_each_image() -> None:
    images = torch.ones(200, 3, 32, 32)
    hidden = Cutout(16)(images, seed=5) == 0
    assert torch.equal(hidden[:, 0], hidden[:, 2])
    sides = torch.stack([hidden[:, 0].any(dim).sum(1) for dim in (1, 2)])  # (2, 200)
    assert torch.equal(hidden[:, 0].sum((1, 2)), sides[0] * sides[1])  # a rectangle, cut off by the border
    assert sides.max() == 16
    assert 8 <= sides.min() < 16  # half of it at most is outside
    assert images.min() == 1


def test_cutout_is_drawn_for_each_image_and_of_the_seed_alone() -> None:
    images = torch.ones(20, 1, 8, 8)
    found = Cutout(4)(images, seed=1)
    assert len({tuple(image.flatten().tolist()) for image in found}) > 10
    torch.rand(7)
    assert torch.equal(found, Cutout(4)(images, seed=1))
    assert not torch.equal(found, Cutout(4)(images, seed=2))


@pytest.mark.parametrize("mode", ["pixel", "const"])
def test_random_erasing_is_of_the_seed_alone_and_leaves_the_generators(mode: str) -> None:
    erase = RandomErase(0.5, mode)
    before = random.getstate(), torch.get_rng_state()
    found = erase(torch.ones(64, 3, 16, 16), 1)
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    random.random()
    torch.rand(3)
    assert torch.equal(found, erase(torch.ones(64, 3, 16, 16), 1))
    assert not torch.equal(found, erase(torch.ones(64, 3, 16, 16), 2))
    changed = (found != 1).flatten(1).any(1)
    assert 15 < changed.sum() < 49  # half of 64, within four standard deviations


def test_a_cutout_of_whole_images_is_refused_with_one_that_is_not() -> None:
    with pytest.raises(UsageError, match=r"recipe\.cutout=4"):
        make_erasing(0.0, "pixel", 16, 8)
    assert make_erasing(0.0, "pixel", None, 8) == []
    assert len(make_erasing(0.2, "pixel", 4, 8)) == 2
