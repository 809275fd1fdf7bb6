from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src.datasets.folder import list_images
from src.datasets.imagenet import ImageNet
from tests.datasets.made_images import make_classes, make_split, noise, refusal

CPU = torch.device("cpu")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_split(tmp_path, train=10, test=3, size=24, test_folder="val")


def opened(root: Path, **options: Any) -> ImageNet:
    return ImageNet(str(root), **({"val_per_class": 2, "image_size": 16, "workers": 0} | options))


def per_class(data: ImageNet) -> dict[str, list[int]]:
    return {part: torch.bincount(labels).tolist() for part, labels in data.labels.items()}


def test_so_many_of_each_class_are_held_out(root: Path) -> None:
    noise(1).save(root / "train" / "cat" / "extra.JPEG")
    data = opened(root)
    assert per_class(data) == {"train": [9, 8, 8], "val": [2, 2, 2], "test": [3, 3, 3]}
    assert sorted([*data.indices["train"], *data.indices["val"]]) == list(range(31))
    assert (data.name, data.image_size, data.mean) == ("imagenet", 16, (0.485, 0.456, 0.406))


def test_subset_of_classes_and_images(root: Path) -> None:
    data = opened(root, classes_subset=2, train_per_class=5, val_per_class=5)
    assert per_class(data) == {"train": [5, 5], "val": [5, 5], "test": [3, 3]}
    assert data.classes == opened(root, classes_subset=2).classes
    drawn = {tuple(opened(root, classes_subset=2, split_seed=seed).classes) for seed in range(10)}
    assert len(drawn) == 3


def test_subset_by_name_or_by_file(root: Path) -> None:
    names = root / "names.txt"
    names.write_text("owl\ncat\n")
    for subset in (["owl", "cat"], str(names)):
        data = opened(root, classes_subset=subset)
        assert data.classes == ["cat", "owl"]
        first = data.files["train"].path(0)
        assert Path(first).parent.name == data.classes[int(data.labels["train"][0])]


def test_batches_are_random_crops_in_training_and_central_ones_else(root: Path) -> None:
    data = opened(root)
    first, second = data.train_loader(24, 2, 0, CPU)
    assert first.images.shape == (24, 3, 16, 16)
    assert not torch.equal(first.images[first.index.argsort()], second.images[second.index.argsort()])
    (batch,) = data.batches("val", 10, CPU)
    assert batch.images.shape == (6, 3, 16, 16)
    listing = list_images(root / "train")
    with Image.open(listing.files.path(int(batch.index[0]))) as image:
        scaled = image.resize((18, 18), Image.Resampling.BILINEAR).crop((1, 1, 17, 17))  # 16 / 0.875 = 18.3
    mean, std = np.array(data.mean), np.array(data.std)
    expected = ((np.asarray(scaled) / 255 - mean) / std).transpose(2, 0, 1)
    assert np.abs(batch.images[0].numpy() - expected).max() < 0.01


@pytest.mark.parametrize(
    "options", [{"color_jitter": 0.4, "interpolation": "random"}, {"auto_augment": "rand-m9-mstd0.5"}, {"flip": 0.0}]
)
def test_stronger_augmentation_is_reproducible(root: Path, options: dict[str, Any]) -> None:
    first, again = (next(iter(opened(root, **options).train_loader(24, 1, 0, CPU))) for _ in range(2))
    assert torch.equal(first.images, again.images)


def test_default_size(root: Path) -> None:
    assert opened(root, image_size=None).image_size == 224


MISTAKES: list[tuple[dict[str, Any], list[str]]] = [
    ({"val_per_class": 10}, ["dataset.val_per_class=10", "class 'cat' has 10 images", "use 1 to 9"]),
    ({"train_per_class": 9}, ["dataset.train_per_class=9", "class 'cat' has 8 images", "use 1 to 8"]),
    ({"classes_subset": 4}, ["dataset.classes_subset=4", "has 3 classes"]),
    ({"classes_subset": ["cat", "dgo"]}, ["unknown class in", "'dgo'", "did you mean dog?"]),
    ({"classes_subset": "nowhere.txt"}, ["dataset.classes_subset=nowhere.txt", "a text file"]),
    ({"interpolation": "cubic"}, ["unknown dataset.interpolation 'cubic'", "bicubic"]),
    ({"crop_scale": [0.5, 2]}, ["dataset.crop_scale=[0.5, 2]", "(0, 1]"]),
    ({"crop_ratio": [1]}, ["dataset.crop_ratio=[1]", "[0.75,1.33]"]),
    ({"auto_augment": "strong"}, ["dataset.auto_augment=strong", "rand-m9-mstd0.5"]),
    ({"crop_pct": 0}, ["dataset.crop_pct=0", "0.875"]),
    ({"image_size": -3}, ["image_size=-3: use a whole number"]),
    ({"workers": -1}, ["dataset.workers=-1"]),
]


@pytest.mark.parametrize(("options", "expected"), MISTAKES)
def test_mistakes_are_named_in_one_line(root: Path, options: dict[str, Any], expected: list[str]) -> None:
    line = refusal(lambda: opened(root, **options))
    assert all(words in line for words in expected), line


def test_missing_folders_are_named(tmp_path: Path) -> None:
    assert "train/<wnid>/*.JPEG" in refusal(lambda: ImageNet(None))
    assert f"no folder {tmp_path / 'train'}" in refusal(lambda: opened(tmp_path))
    make_classes(tmp_path / "train")
    (tmp_path / "val").mkdir()
    noise(0).save(tmp_path / "val" / "unsorted.JPEG")
    assert f"{tmp_path / 'val'} holds 0 class folders" in refusal(lambda: opened(tmp_path))
