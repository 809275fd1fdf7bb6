from itertools import islice

import pytest
import torch

from src.datasets.augment import ShiftFlip
from src.datasets.dataset import Batch, channel_statistics
from src.datasets.digits import Digits
from src.datasets.memory import ImagePart, MemoryDataset
from src.runtime.seeds import mix
from tests.datasets.made_images import refusal

CPU = torch.device("cpu")


def made(count: int = 40, size: int = 6) -> MemoryDataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    parts = {"train": slice(0, 20), "val": slice(20, 30), "test": slice(30, 40)}
    labels = torch.arange(count) % 2
    numbers = torch.arange(count).flip(0)
    return MemoryDataset(
        "made",
        {part: ImagePart(images[where], labels[where], numbers[where].clone()) for part, where in parts.items()},
        ["a", "b"],
        ShiftFlip(2, True),
    )


def same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("images", "labels", "index"))


def test_shift_and_flip_move_whole_pixels_and_differ_between_images() -> None:
    image = torch.arange(1, 37, dtype=torch.uint8).view(1, 1, 6, 6)
    framed = torch.nn.functional.pad(image, (2,) * 4)[0, 0]
    windows = [framed[r : r + 6, c : c + 6] for r in range(5) for c in range(5)]
    allowed = [w for window in windows for w in (window, window.flip(1))]
    found = ShiftFlip(2, True)(image.expand(400, -1, -1, -1), seed=3)
    kinds = {tuple(one.flatten().tolist()) for one in found}
    assert kinds == {tuple(one.flatten().tolist()) for one in allowed}


def test_augmentation_depends_on_its_seed_alone() -> None:
    images = torch.rand(50, 3, 6, 6)
    augment = ShiftFlip(1, True)
    first = augment(images, 1)
    torch.manual_seed(123)
    assert torch.equal(first, augment(images, 1))
    assert not torch.equal(first, augment(images, 2))


@pytest.mark.parametrize(("shift", "flip", "moves"), [(0, False, 1), (0, True, 2), (1, False, 9)])
def test_only_what_was_asked_for_is_done(shift: int, flip: bool, moves: int) -> None:
    images = torch.arange(16.0).view(1, 1, 4, 4).expand(300, -1, -1, -1)
    assert len(torch.unique(ShiftFlip(shift, flip)(images, 0), dim=0)) == moves


def test_training_batches_are_augmented_the_others_are_not() -> None:
    data = made()
    loader = data.train_loader(20, 2, 0, CPU)
    first, second = loader
    (plain,) = data.batches("train", 20, CPU)
    assert not torch.equal(first.images[first.index.argsort()], second.images[second.index.argsort()])
    (again,) = data.batches("train", 20, CPU)
    assert same(plain, again)


def test_batches_stop_where_asked() -> None:
    data = made()
    assert [len(batch.labels) for batch in data.batches("val", 4, CPU)] == [4, 4, 2]
    assert [len(batch.labels) for batch in data.batches("val", 4, CPU, images=5)] == [4, 1]
    assert [len(batch.labels) for batch in data.batches("val", 4, CPU, images=99)] == [4, 4, 2]


def test_epoch_shows_every_image_once_and_index_travels_along() -> None:
    data = made()
    seen = torch.cat([batch.index for batch in data.train_loader(5, 4, 0, CPU)])
    assert sorted(seen.tolist()) == sorted(data.indices["train"].tolist())
    labels = {int(i): int(i + 1) % 2 for i in data.indices["train"]}
    for batch in data.train_loader(5, 4, 0, CPU):
        assert batch.labels.tolist() == [labels[int(i)] for i in batch.index]
        assert batch.index.dtype == batch.labels.dtype == torch.int64


def test_images_are_normalised_and_kept_as_bytes() -> None:
    data = made()
    (batch,) = data.batches("train", 20, CPU)
    assert batch.images.mean((0, 2, 3)) == pytest.approx([0, 0, 0], abs=1e-5)
    assert batch.images.std((0, 2, 3), unbiased=False) == pytest.approx([1, 1, 1], abs=1e-4)
    assert data.part("train", CPU).images.dtype == torch.uint8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_images_live_on_the_device_and_are_the_same_there() -> None:
    device = torch.device("cuda")
    here, there = made(), made()
    for ours, theirs in zip(here.train_loader(8, 5, 0, CPU), there.train_loader(8, 5, 0, device), strict=True):
        assert theirs.images.device.type == "cuda"
        assert torch.allclose(ours.images, theirs.images.cpu(), atol=1e-6)
    assert there.part("train", device).images.device.type == "cuda"


def test_channel_statistics_of_many_images() -> None:
    images = torch.randint(256, (5000, 2, 3, 3), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    scaled = images.double() / 255
    assert mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), abs=1e-12)
    assert std == pytest.approx(scaled.std((0, 2, 3), unbiased=False).tolist(), abs=1e-10)


def test_blank_channel_can_be_normalised() -> None:
    assert channel_statistics(torch.zeros(4, 1, 2, 2, dtype=torch.uint8)) == ((0.0,), (1e-3,))


@pytest.mark.parametrize("after", [1, 3, 4, 6])  # 4 steps an epoch: within, at and beyond its end
def test_resume_is_bit_identical(after: int) -> None:
    whole = list(made().train_loader(5, 10, 7, CPU))
    interrupted = made().train_loader(5, 10, 7, CPU)
    started = list(islice(interrupted, after))
    resumed = made().train_loader(5, 10, 7, CPU)
    resumed.load_state_dict(interrupted.state_dict())
    assert resumed.state_dict()["step"] == after
    rest = list(resumed)
    assert len(whole) == len(started) + len(rest) == len(resumed) == 10
    assert all(same(*pair) for pair in zip(whole, started + rest, strict=True))


def test_loading_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    list(made().train_loader(5, 4, 0, CPU))
    assert torch.equal(before, torch.get_rng_state())


def test_batch_larger_than_the_training_part_is_refused() -> None:
    assert "batch_size=21 is more than the 20 training images" in refusal(lambda: made().train_loader(21, 1, 0, CPU))


def test_mix_separates_neighbours() -> None:
    assert len({mix(a, b) for a in range(30) for b in range(30)}) == 900
    assert mix(1, 2) == mix(1, 2)


def test_digits_have_three_parts() -> None:
    digits = Digits(val=397, test=400, image_size=4)
    assert [digits.size(part) for part in ("train", "val", "test")] == [1000, 397, 400]
    (batch,) = digits.batches("val", 397, CPU)
    assert batch.images.shape == (397, 1, 4, 4)
    assert torch.bincount(batch.labels).min() >= 37
