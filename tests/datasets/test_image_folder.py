import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src.datasets.dataset import Dataset
from src.datasets.folder import list_images
from src.datasets.image_folder import image_folder
from src.datasets.memory import MemoryDataset
from tests.datasets.made_images import make_classes, make_split, noise, refusal

CPU = torch.device("cpu")


def opened(root: Path, **options: Any) -> Dataset:
    return image_folder(str(root), cache=None, **({"shift": 1, "val": 6} | options))


def test_train_and_test_folders(tmp_path: Path) -> None:
    data = opened(make_split(tmp_path / "pets"))
    assert isinstance(data, MemoryDataset)
    assert (data.name, data.classes, data.in_channels, data.image_size) == ("pets", ["cat", "dog", "owl"], 3, 8)
    assert {part: data.size(part) for part in data.indices} == {"train": 24, "val": 6, "test": 12}
    assert sorted([*data.indices["train"], *data.indices["val"]]) == list(range(30))
    assert data.indices["test"].tolist() == list(range(12))


def test_one_folder_is_divided_into_three(tmp_path: Path) -> None:
    data = opened(make_classes(tmp_path), val=3, test=6, train_images=9)
    assert {part: data.size(part) for part in data.indices} == {"train": 9, "val": 3, "test": 6}
    assert len(np.unique(np.concatenate(list(data.indices.values())))) == 18
    for part in data.indices:
        (labels,) = (batch.labels for batch in data.batches(part, 30, CPU))
        assert len(set(torch.bincount(labels).tolist())) == 1


def test_every_index_leads_to_its_own_file(tmp_path: Path) -> None:
    root = make_split(tmp_path)
    data = opened(root, mean=[0, 0, 0], std=[1, 1, 1])
    for part, folder in (("train", "train"), ("val", "train"), ("test", "test")):
        listing = list_images(root / folder)
        (batch,) = data.batches(part, 100, CPU)
        for image, label, index in zip(batch.images, batch.labels, batch.index, strict=True):
            expected = np.asarray(Image.open(listing.files.path(int(index)))).transpose(2, 0, 1)
            assert (image.mul(255).round().byte().numpy() == expected).all()
            assert label == listing.labels[index]


def test_split_follows_its_seed(tmp_path: Path) -> None:
    make_classes(tmp_path)
    first, again, other = (opened(tmp_path, split_seed=seed).indices for seed in (0, 0, 1))
    assert all((first[part] == again[part]).all() for part in first)
    assert set(first["val"]) != set(other["val"])


def test_any_size_is_brought_to_one(tmp_path: Path) -> None:
    make_classes(tmp_path)
    Image.new("RGB", (40, 13)).save(tmp_path / "cat" / "wide.png")
    assert opened(tmp_path, image_size=5).image_size == 5


def test_one_channel(tmp_path: Path) -> None:
    data = opened(make_classes(tmp_path), channels=1)
    assert (data.in_channels, len(data.mean)) == (1, 1)


def test_statistics_are_those_of_the_training_part(tmp_path: Path) -> None:
    data = opened(make_split(tmp_path))
    listing = list_images(tmp_path / "train")
    images = np.stack([np.asarray(Image.open(listing.files.path(i)), float) for i in data.indices["train"]]) / 255
    assert data.mean == pytest.approx(images.mean((0, 1, 2)), abs=1e-12)
    assert data.std == pytest.approx(images.std((0, 1, 2)), abs=1e-9)


def test_statistics_may_be_given(tmp_path: Path) -> None:
    make_classes(tmp_path)
    assert opened(tmp_path, mean=[0.1, 0.2, 0.3]).mean == (0.1, 0.2, 0.3)
    assert "needs 3 numbers" in refusal(lambda: opened(tmp_path, mean=[0.5]))
    assert "needs 3 positive numbers" in refusal(lambda: opened(tmp_path, std=[1, 0, 1]))


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    make_classes(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / ".hidden.png").write_text("not an image")
    (tmp_path / ".git").mkdir()
    (tmp_path / "readme.md").write_text("")
    shutil.copy(tmp_path / "cat" / "0000.png", tmp_path / "cat" / "UPPER.PNG")
    data = opened(tmp_path)
    assert sum(map(len, data.indices.values())) == 31


def test_cache_is_used(tmp_path: Path) -> None:
    root, cache = make_split(tmp_path / "pets"), tmp_path / "cache"
    image_folder(str(root), val=6, cache=str(cache))
    assert len(list(cache.iterdir())) == 3


def remove(name: str) -> Any:
    return lambda root: shutil.rmtree(root / name)


def keep_only(root: Path) -> None:
    for name in ("dog", "owl"):
        shutil.rmtree(root / "train" / name)
        shutil.rmtree(root / "test" / name)


def corrupt(root: Path) -> None:
    (root / "train" / "dog" / "0003.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")


def empty_class(root: Path) -> None:
    (root / "train" / "bat").mkdir()
    (root / "test" / "bat").mkdir()


def odd_size(root: Path) -> None:
    noise(0, 9).save(root / "train" / "dog" / "0003.png")


MISTAKES: list[tuple[Any, dict[str, Any], list[str]]] = [
    (remove("train"), {}, ["has test/ but no train/"]),
    (remove("test"), {}, ["has train/ but no test/", "dataset.root="]),
    (remove("test/owl"), {}, ["class 'owl' is in", "train but not in", "test"]),
    (remove("train/owl"), {}, ["class 'owl' is in", "test but not in", "train"]),
    (keep_only, {}, ["holds 1 class folders, at least 2"]),
    (empty_class, {}, ["train/bat holds no image", ".png"]),
    (corrupt, {}, ["train/dog/0003.png", "cannot read image"]),
    (odd_size, {}, ["train/dog/0003.png is 9x9 px", "image_size=<pixels>"]),
    (None, {"val": 29}, ["dataset.val=29 asks for 29 of 30 images in 3 classes: use 3 to 27"]),
    (None, {"train_images": 25}, ["dataset.train_images=25 asks for 25 of 24 images", "use 3 to 24"]),
    (None, {"image_size": 0}, ["image_size=0: use a whole number of at least 1"]),
    (None, {"shift": -1}, ["dataset.shift=-1: use a whole number of at least 0"]),
    (None, {"flip": "no"}, ["dataset.flip=no: use true or false"]),
    (None, {"channels": 4}, ["dataset.channels=4", "use 3 (RGB) or 1 (grey)"]),
    (None, {"memory_limit_mb": "much"}, ["dataset.memory_limit_mb=much: use a number"]),
    (None, {"memory_limit_mb": 0, "workers": -1}, ["dataset.workers=-1: use a whole number"]),
]


@pytest.mark.parametrize(("spoil", "options", "expected"), MISTAKES)
def test_mistakes_are_named_in_one_line(tmp_path: Path, spoil: Any, options: Any, expected: list[str]) -> None:
    make_split(tmp_path)
    if spoil:
        spoil(tmp_path)
    line = refusal(lambda: opened(tmp_path, **options))
    assert all(words in line for words in expected), line


def test_missing_folder_is_named(tmp_path: Path) -> None:
    line = refusal(lambda: opened(tmp_path / "nowhere"))
    assert f"no folder {tmp_path / 'nowhere'}" in line and "dataset.root=" in line
    assert "dataset.root=<folder> is missing" in refusal(lambda: image_folder(None))


def test_folder_of_a_single_class_is_refused(tmp_path: Path) -> None:
    make_classes(tmp_path)
    assert "holds 0 class folders" in refusal(lambda: opened(tmp_path / "cat"))
