import multiprocessing
import random
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src.datasets import worker
from src.datasets.augment import ShiftFlip
from src.datasets.dataset import Batch, Dataset
from src.datasets.decode import Pixels, decode, read_image
from src.datasets.folder import Files
from src.datasets.image_folder import image_folder
from src.datasets.layout import divide_parts, list_parts
from src.datasets.memory import MemoryDataset
from src.datasets.preprocessing import as_pixels
from src.datasets.worker import WorkerDataset
from tests.datasets.made_images import make_split, refusal

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # where there is one core


@dataclass(frozen=True)
class DiceReader:
    """Paints the middle with a draw from each of the three global generators."""

    channels: int = 3
    preprocessing: None = None
    size: int = 8

    def __call__(self, path: str) -> Pixels:
        pixels = as_pixels(read_image(path)).copy()
        colour = random.randrange(256), np.random.randint(256), int(torch.randint(256, ()))
        pixels[:, 2:6, 2:6] = np.reshape(colour, (3, 1, 1))
        return pixels


def small(root: Path, limit: float = 0, workers: int = 0) -> Dataset:
    """The same folder in memory or, over the limit, by workers, normalised alike."""
    same: dict[str, Any] = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "cache": None}
    return image_folder(str(root), val=6, shift=2, memory_limit_mb=limit, workers=workers, **same)


def diced(root: Path, workers: int = 0, limit: float = 0) -> WorkerDataset:
    files, augment = divide_parts(list_parts(root), 6, 0.2, None, 0), ShiftFlip(1, True)
    return WorkerDataset("diced", files, DiceReader(), DiceReader(), augment, workers=workers, memory_limit_mb=limit)


def same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in ("images", "labels", "index"))


def all_same(first: Iterable[Batch], second: Iterable[Batch]) -> bool:
    return all(same(*pair) for pair in zip(first, second, strict=True))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_split(tmp_path / "pets")


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_memory_give_the_same_batches(root: Path, workers: int) -> None:
    memory, large = small(root, 100), small(root, 0, workers)
    assert isinstance(memory, MemoryDataset) and isinstance(large, WorkerDataset)
    pairs = [data.train_loader(5, 9, 3, CPU) for data in (memory, large)]
    assert all_same(*map(list, pairs))
    for part in ("train", "val", "test"):
        assert all_same(list(memory.batches(part, 5, CPU, 8)), list(large.batches(part, 5, CPU, 8)))


def test_random_transforms_do_not_depend_on_the_workers(root: Path) -> None:
    alone = list(diced(root).train_loader(5, 9, 3, CPU))
    assert all_same(alone, list(diced(root, workers=1).train_loader(5, 9, 3, CPU)))
    assert all_same(alone, list(diced(root, workers=2).train_loader(5, 9, 3, CPU)))
    assert not all_same(alone, list(diced(root).train_loader(5, 9, 4, CPU)))


def test_every_image_and_epoch_draws_anew(root: Path) -> None:
    batches = list(diced(root).train_loader(12, 4, 0, CPU))  # two epochs of two
    drawn = torch.cat([batch.images[:, :, 3, 3] for batch in batches])
    assert all(len(torch.unique(channel)) > 35 for channel in drawn.T)  # of 48, out of 256 values
    by_image: dict[int, list[torch.Tensor]] = {}
    for batch in batches:
        for image, index in zip(batch.images, batch.index, strict=True):
            by_image.setdefault(int(index), []).append(image)
    assert all(len(images) == 2 for images in by_image.values())
    assert sum(torch.equal(*images) for images in by_image.values()) == 0


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("after", [1, 4, 6])  # 4 steps an epoch
def test_resume_is_bit_identical(root: Path, workers: int, after: int) -> None:
    whole = list(diced(root).train_loader(6, 9, 7, CPU))
    interrupted = diced(root, workers).train_loader(6, 9, 7, CPU)
    reading = iter(interrupted)
    started = list(islice(reading, after))
    state = interrupted.state_dict()  # while the workers have read further already
    assert state["step"] == after
    del reading
    resumed = diced(root, workers).train_loader(6, 9, 7, CPU)
    resumed.load_state_dict(state)
    assert all_same(whole, started + list(resumed))


@pytest.mark.parametrize("workers", [0, 1])
def test_global_generators_are_left_alone(root: Path, workers: int) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(())
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    list(diced(root, workers).train_loader(6, 5, 0, CPU))
    assert (random.random(), np.random.rand(), torch.rand(())) == expected


@pytest.mark.parametrize("workers", [0, 1])
def test_corrupt_image_is_one_line_from_a_worker_too(root: Path, workers: int) -> None:
    data = small(root, 0, workers)
    assert isinstance(data, WorkerDataset)
    path = data.files["train"].path(0)
    Path(path).write_text("no image")
    line = refusal(lambda: list(data.train_loader(8, 3, 0, CPU)))
    why = "not an image of a known format; a resume with dataset.skip_corrupt=true goes on without it"
    assert line == f"cannot read image {path}: {why}"
    assert path in refusal(lambda: list(data.batches("train", 8, CPU)))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call had to decode."""
    counts: list[int] = []

    def counting(files: Files, *arguments: Any) -> Pixels:
        counts.append(len(files))
        return decode(files, *arguments)

    monkeypatch.setattr(worker, "decode", counting)
    return counts


def test_held_out_parts_are_decoded_once(root: Path, decoded: list[int]) -> None:
    data = diced(root, limit=1)
    for images in (4, 4, 3, None, None):
        list(data.batches("test", 5, CPU, images))
    assert decoded == [4, 8]


def test_what_does_not_fit_is_decoded_every_time(root: Path, decoded: list[int]) -> None:
    room_for_seven = 7 * 3 * 8 * 8 / 1e6
    data = small(root, 0, 0)
    assert isinstance(data, WorkerDataset)
    data.memory_limit = room_for_seven * 1e6
    assert len(list(data.batches("val", 5, CPU))) == 2
    first, again = list(data.batches("test", 5, CPU)), list(data.batches("test", 5, CPU))
    assert all_same(first, again)
    assert decoded == [6]  # val stays, test is streamed


def test_two_passes_may_be_read_side_by_side(root: Path) -> None:
    data = small(root, 0, 0)
    for first, second in zip(data.batches("test", 5, CPU), data.batches("test", 5, CPU), strict=True):
        assert same(first, second)


def test_grey_images_have_one_statistic(root: Path) -> None:
    data = image_folder(str(root), channels=1, val=6, memory_limit_mb=0, workers=0)
    assert (len(data.mean), len(data.std)) == (1, 1)
    assert next(iter(data.train_loader(4, 1, 0, CPU))).images.shape == (4, 1, 8, 8)


@pytest.mark.slow
def test_workers_of_windows_and_macos_read_the_same(root: Path) -> None:
    """They begin as new processes that get all they need by pickle."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        read = [list(small(root, 0, workers).train_loader(4, 2, 0, CPU)) for workers in (2, 0)]
        assert read[0] and all_same(*read)
        assert all_same(small(root, 0, 1).batches("test", 5, CPU), small(root, 0, 0).batches("test", 5, CPU))
    finally:
        multiprocessing.set_start_method(before, force=True)
