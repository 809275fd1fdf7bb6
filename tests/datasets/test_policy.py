"""Policies of timm on any data set: per image, of the seed alone, the same in memory and by workers."""

from __future__ import annotations

import random
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src.datasets.augment import ShiftFlip
from src.datasets.dataset import Batch, Dataset
from src.datasets.digits import Digits
from src.datasets.image_folder import image_folder
from src.datasets.policy import ImagePolicy, PolicyAugment, add_policy
from tests.datasets.made_images import make_split, refusal

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # where there is one core
POLICIES = [("original", 0.0), ("rand-m9-mstd0.5", 0.0), (None, 0.4), ("v0", 0.4)]


def small(root: Path, limit: float = 100, workers: int = 0) -> Dataset:
    """The same folder in memory or, over the limit, by workers, normalised alike."""
    same: dict[str, Any] = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "cache": None}
    return image_folder(str(root), val=6, shift=2, memory_limit_mb=limit, workers=workers, **same)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_split(tmp_path / "images", size=16)


def batches(dataset: Dataset, steps: int = 6) -> list[Batch]:
    return list(dataset.train_loader(8, steps, 3, CPU))


@pytest.mark.parametrize(("auto_augment", "color_jitter"), POLICIES)
def test_memory_and_workers_give_the_same_batches(auto_augment: str | None, color_jitter: float, root: Path) -> None:
    found = []
    for limit, workers in ((100, 0), (0, 0), (0, 1)):
        dataset = small(root, limit, workers)
        add_policy(dataset, auto_augment, color_jitter)
        found.append(torch.stack([batch.images for batch in batches(dataset)]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[1], found[2])
    plain = torch.stack([batch.images for batch in batches(small(root))])
    assert not torch.equal(plain, found[0])


def test_every_image_of_a_batch_is_drawn_for_by_itself() -> None:
    policy = PolicyAugment(ImagePolicy(None, 0.8, 16, (0.5, 0.5, 0.5)), ShiftFlip(0, False))
    images = torch.full((6, 3, 16, 16), 100, dtype=torch.uint8)
    images[:, 1] = 200
    found = policy(images, seed=1)
    assert len({tuple(image.flatten().tolist()) for image in found}) == 6
    assert torch.equal(found, policy(images, seed=1))
    assert not torch.equal(found, policy(images, seed=2))
    assert torch.equal(found[4:], policy(images[4:], seed=1, first=4, total=6))  # a share of the batch


@pytest.mark.parametrize("policy", ["v0", "rand-m10-n4-p1", "rand-m10-n4-p1-inc1"])
def test_policies_that_posterize_to_nothing_work(policy: str) -> None:
    augment = PolicyAugment(ImagePolicy(policy, 0.0, 16, (0.5, 0.5, 0.5)), ShiftFlip(0, False))
    images = torch.randint(256, (200, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert augment(images, seed=0).shape == images.shape


def test_global_generators_are_left_alone() -> None:
    policy = PolicyAugment(ImagePolicy("rand-m9-mstd0.5", 0.4, 16, (0.5, 0.5, 0.5)), ShiftFlip(0, False))

    def states() -> tuple[Any, ...]:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]

    before = states()
    policy(torch.zeros(3, 3, 16, 16, dtype=torch.uint8), seed=1)
    assert states() == before


def test_resume_is_bit_identical(root: Path) -> None:
    dataset = small(root)
    add_policy(dataset, "original", 0.0)
    whole = batches(dataset)
    loader = dataset.train_loader(8, 6, 3, CPU)
    assert len(list(islice(loader, 4))) == 4
    again = small(root)
    add_policy(again, "original", 0.0)
    rest = again.train_loader(8, 6, 3, CPU)
    rest.load_state_dict(loader.state_dict())
    for batch, expected in zip(rest, whole[4:], strict=True):
        assert torch.equal(batch.images, expected.images)


def test_held_out_images_stay_as_they_are(root: Path) -> None:
    changed = small(root)
    add_policy(changed, "original", 0.4)
    for part in ("val", "test"):
        pairs = zip(changed.batches(part, 8, CPU), small(root).batches(part, 8, CPU), strict=True)
        assert all(torch.equal(one.images, other.images) for one, other in pairs)


def test_what_makes_no_sense_is_refused(root: Path) -> None:
    assert "grey" in refusal(lambda: add_policy(Digits(), "original", 0.0))
    assert "recipe.color_jitter=0.4" in refusal(lambda: add_policy(Digits(), None, 0.4))
    tiny = small(make_split(root / "tiny", size=8))
    assert "16 px or more" in refusal(lambda: add_policy(tiny, "original", 0.0))
    assert "rand-m9-mstd0.5" in refusal(lambda: add_policy(small(root), "best", 0.0))
    add_policy(Digits(), None, 0.0)
