from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from src.datasets.dataset import Dataset
from tests.datasets.made_images import make_split

CONF = Path(__file__).parents[2] / "conf"


def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides)).dataset


def test_image_folder_from_the_command_line(tmp_path: Path) -> None:
    make_split(tmp_path / "pets")
    words = [f"dataset.root={tmp_path / 'pets'}", "image_size=6", "dataset.val=6", f"dataset.cache={tmp_path / 'c'}"]
    data: Dataset = instantiate(composed("dataset=image_folder", *words, "dataset.mean=[0.5,0.5,0.5]"))
    assert (data.image_size, data.mean, data.size("train")) == (6, (0.5, 0.5, 0.5), 24)


@pytest.mark.parametrize(("word", "per_class"), [("imagenet", 2), ("sub_imagenet", 2)])
def test_imagenet_from_the_command_line(tmp_path: Path, word: str, per_class: int) -> None:
    make_split(tmp_path, test_folder="val")
    counts = [f"dataset.val_per_class={per_class}", "dataset.train_per_class=3", "dataset.classes_subset=[cat,owl]"]
    data: Dataset = instantiate(composed(f"dataset={word}", f"dataset.root={tmp_path}", "image_size=16", *counts))
    assert (data.name, data.classes) == (word, ["cat", "owl"])
    assert [data.size(part) for part in ("train", "val", "test")] == [6, 4, 8]


def test_sub_imagenet_is_imagenet_with_other_numbers() -> None:
    whole, sub = composed("dataset=imagenet"), composed("dataset=sub_imagenet")
    changed = {key for key in sub if sub[key] != whole[key]}
    assert set(sub) == set(whole)
    assert changed == {"name", "classes_subset", "train_per_class", "val_per_class", "crop_scale"}


@pytest.mark.parametrize("word", ["cifar10", "cifar100"])
def test_cifar_asks_for_its_own_name(word: str) -> None:
    assert composed(f"dataset={word}").name == word
