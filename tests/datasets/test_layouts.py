"""Folders as people have them: what is understood, what was read, and what the refusals hint at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from src import train
from src.datasets.dataset import Dataset, in_words
from src.datasets.image_folder import image_folder
from src.runtime.launch import launch
from tests.datasets.made_images import make_classes, noise, refusal


def opened(root: Path, **options: Any) -> Dataset:
    return image_folder(str(root), cache=None, **({"val": 3, "test": 3} | options))


def sizes(data: Dataset) -> dict[str, int]:
    return {part: data.size(part) for part in ("train", "val", "test")}


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val", "VALIDATION"])
def test_a_val_folder_is_the_validation_part(name: str, tmp_path: Path) -> None:
    make_classes(tmp_path / "train", 10)
    make_classes(tmp_path / name, 2, seed=200)
    make_classes(tmp_path / "test", 4, seed=500)
    data = opened(tmp_path)
    assert sizes(data) == {"train": 30, "val": 6, "test": 12}
    assert not set(data.indices["val"]) & set(data.indices["train"])
    (batch,) = data.batches("val", 100, torch.device("cpu"))
    wanted = np.asarray(noise(200)).transpose(2, 0, 1)  # the first of the folder, and not one of train's
    assert torch.equal(batch.images[0], data.normalise(torch.from_numpy(wanted.copy())[None])[0])
    assert sizes(opened(tmp_path, train_images=9)) == {"train": 9, "val": 6, "test": 12}


def test_without_a_test_folder_test_images_are_held_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_classes(tmp_path / "train", 10)
    make_classes(tmp_path / "val", 2, seed=200)
    data = opened(tmp_path, test=6)
    assert sizes(data) == {"train": 24, "val": 6, "test": 6}
    assert not set(data.indices["test"]) & set(data.indices["train"])
    assert "has no test/: 6 images of train/ are held out (dataset.test=6)" in capsys.readouterr().out


def test_other_names_of_the_parts_are_understood(tmp_path: Path) -> None:
    make_classes(tmp_path / "Training", 10)
    make_classes(tmp_path / "Testing", 4, seed=500)
    assert sizes(opened(tmp_path)) == {"train": 27, "val": 3, "test": 12}
    make_classes(tmp_path / "test", 4)
    assert "Testing/ and test/: leave one of them" in refusal(lambda: opened(tmp_path))


def test_a_folder_called_train_is_named_after_its_parent(tmp_path: Path) -> None:
    assert opened(make_classes(tmp_path / "pets" / "train")).name == "pets"


def test_files_that_are_passed_over_are_counted_by_kind(tmp_path: Path) -> None:
    make_classes(tmp_path, 4)
    (tmp_path / "cat" / "a.heic").write_bytes(b"x")
    (tmp_path / "dog" / "b.HEIC").write_bytes(b"x")
    (tmp_path / "dog" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "owl" / "more").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    noise(1).save(tmp_path / "cat" / "c.jfif", "JPEG")
    noise(2).save(tmp_path / "cat" / "d.avif")
    data = opened(tmp_path)
    assert data.summary() == {
        "classes": 3,
        "images": {"train": 8, "val": 3, "test": 3},
        "passed_over": {".heic": 2, "hidden": 1, "folders": 1},
    }
    assert in_words(data).endswith("8 train, 3 val, 3 test (3x8x8); passed over: 2 .heic, 1 folders, 1 hidden")


def test_a_run_says_what_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_classes(tmp_path / "pets", 10)
    short = ["budget.steps=1", "batch_size=4", "validation.paths=1", "ranking.paths=2", "benchmark=none", "logger=csv"]
    data = ["dataset=image_folder", f"dataset.root={root}", "dataset.cache=null", "dataset.test=6", "dataset.val=6"]
    assert launch("train", train.main, [*short, *data, f"hydra.run.dir={tmp_path / 'run'}"]) == 0
    assert "pets: 3 classes, images: 18 train, 6 val, 6 test (3x8x8)\n" in capsys.readouterr().out
    read = json.loads((tmp_path / "run" / "result.json").read_text())["read"]
    assert read == {"classes": 3, "images": {"train": 18, "val": 6, "test": 6}, "passed_over": {}}


def nested(root: Path) -> None:
    (root / "cat" / "inner").mkdir()
    for path in (root / "cat").glob("*.png"):
        path.rename(root / "cat" / "inner" / path.name)


def unlabelled(root: Path) -> None:
    for name in ("cat", "dog", "owl"):
        shutil.move(str(root / name), str(root / "train" / name))
    (root / "test").mkdir()
    noise(1).save(root / "test" / "1.png")


@pytest.mark.parametrize(
    ("spoil", "hint"),
    [
        (nested, "they lie one folder deeper, in"),
        (unlabelled, "1 images lie in it without a class"),
        (lambda root: (root / "cat" / "0000.png").write_bytes(b""), "cat/0000.png: the file is empty"),
    ],
)
def test_refusals_hint_at_what_is_wrong(spoil: Callable[[Path], object], hint: str, tmp_path: Path) -> None:
    make_classes(tmp_path, 4)
    spoil(tmp_path)
    assert hint in refusal(lambda: opened(tmp_path))


def test_images_of_another_size_are_an_error_of_the_reader_alone(tmp_path: Path) -> None:
    root = make_classes(tmp_path, 4)
    Image.new("RGB", (9, 9)).save(root / "cat" / "0000.png")
    assert "image_size=<pixels>" in refusal(lambda: opened(root))
