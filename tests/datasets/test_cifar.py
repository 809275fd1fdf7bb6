import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, CIFAR100

from src.datasets.cifar import Cifar
from tests.datasets.made_images import refusal

CPU = torch.device("cpu")


def dump(path: Path, content: dict[str, object]) -> str:
    """Pickle it, and return its MD5."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return hashlib.md5(path.read_bytes()).hexdigest()


def images(count: int, seed: int) -> np.ndarray:
    """(N, 3072): all red values row by row, then green, then blue."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), dtype=np.uint8)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """20 training images in two files and 10 test images, in CIFAR-10's layout."""
    folder = tmp_path / CIFAR10.base_folder
    labels = [number % 5 for number in range(10)]
    batches = [(f"data_batch_{seed}", {"data": images(10, seed), "labels": labels}) for seed in (1, 2)]
    tests = [("test_batch", {"data": images(10, 3), "labels": labels})]
    monkeypatch.setattr(CIFAR10, "train_list", [[name, dump(folder / name, what)] for name, what in batches])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, dump(folder / name, what)] for name, what in tests])
    md5 = dump(folder / "batches.meta", {"label_names": list("abcde")})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5})
    return tmp_path


def test_layout_is_read(root: Path) -> None:
    data = Cifar("cifar10", str(root), val=5)
    assert (data.name, data.classes, data.image_size) == ("cifar10", list("abcde"), 32)
    assert {part: data.size(part) for part in data.indices} == {"train": 15, "val": 5, "test": 10}
    stored = np.concatenate([images(10, 1), images(10, 2)]).reshape(-1, 3, 32, 32)
    (batch,) = data.batches("train", 15, CPU)
    pixels = data.normalise(torch.from_numpy(stored[data.indices["train"]]))
    assert torch.equal(batch.images, pixels)
    assert batch.labels.tolist() == [int(index) % 10 % 5 for index in batch.index]


def test_smaller_images_are_area_averages(root: Path) -> None:
    data = Cifar("cifar10", str(root), val=5, image_size=16, train_images=10)
    (batch,) = data.batches("test", 10, CPU)
    means = images(10, 3).reshape(10, 3, 16, 2, 16, 2).mean((3, 5))
    std = torch.tensor(data.std).view(3, 1, 1)
    pixels = (batch.images * std + torch.tensor(data.mean).view(3, 1, 1)) * 255
    assert data.size("train") == 10
    assert (pixels - torch.from_numpy(means)).abs().max() <= 1.01


def test_missing_folder_names_the_download(tmp_path: Path) -> None:
    line = refusal(lambda: Cifar("cifar100", str(tmp_path)))
    assert str(tmp_path / CIFAR100.base_folder) in line
    assert "dataset.download=true" in line


def test_damaged_file_is_refused(root: Path) -> None:
    (root / CIFAR10.base_folder / "data_batch_1").write_bytes(b"damaged")
    line = refusal(lambda: Cifar("cifar10", str(root), val=5))
    assert f"{root / CIFAR10.base_folder} is incomplete or damaged" in line


def test_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(self: CIFAR10) -> None:
        raise OSError("<urlopen error [Errno -3]\nno such host>")

    monkeypatch.setattr(CIFAR10, "download", unreachable)
    assert "is the network reachable?" in refusal(lambda: Cifar("cifar10", str(tmp_path), download=True))


def test_unknown_name() -> None:
    assert "the options are cifar10, cifar100" in refusal(lambda: Cifar("cifar1000"))
