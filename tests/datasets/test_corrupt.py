"""Files that cannot be read, are gone, or are not the files that a run was started with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from src import rank, train
from src.datasets.dataset import Dataset
from src.datasets.image_folder import image_folder
from src.datasets.imagenet import ImageNet
from src.runtime.launch import launch
from tests.datasets.made_images import make_classes, make_split, noise, refusal

CPU = torch.device("cpu")
MEMORY: dict[str, Any] = {}
STREAMED: dict[str, Any] = {"memory_limit_mb": 0, "workers": 0}


def opened(root: Path, **options: Any) -> Dataset:
    return image_folder(str(root), cache=None, **({"val": 3, "test": 3, "image_size": 8} | options))


def truncate(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-60])
    return path


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Path, list[Path]]:
    """(root, its unreadable files): text, a truncated PNG, a truncated JPEG, an empty file."""
    make_classes(tmp_path, 8, 16)
    bad = [tmp_path / "cat" / "0001.png", tmp_path / "dog" / "0002.png", tmp_path / "owl" / "0003.jpg"]
    bad[0].write_text("no image")
    truncate(bad[1])
    noise(3, 16).save(bad[2])
    truncate(bad[2])
    (tmp_path / "owl" / "0009.png").write_bytes(b"")
    return tmp_path, [*bad, tmp_path / "owl" / "0009.png"]


@pytest.mark.parametrize("way", [MEMORY, STREAMED], ids=["memory", "streamed"])
def test_all_unreadable_files_are_named_before_training(
    way: dict[str, Any], damaged: tuple[Path, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, bad = damaged
    line = refusal(lambda: opened(root, **way))
    assert "4 images cannot be read (listed above)" in line and "dataset.skip_corrupt=true" in line
    listed = capsys.readouterr().err.splitlines()
    assert sorted(text.split(":")[0] for text in listed) == sorted(f"cannot read image {path}" for path in bad)


@pytest.mark.parametrize("way", [MEMORY, STREAMED], ids=["memory", "streamed"])
def test_unreadable_files_are_left_out_on_request(
    way: dict[str, Any], damaged: tuple[Path, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, bad = damaged
    data = opened(root, skip_corrupt=True, **way)
    assert sum(data.size(part) for part in ("train", "val", "test")) == 3 * 8 - 2
    assert data.summary()["passed_over"] == {"unreadable": 4}
    assert capsys.readouterr().err.count("left out: ") == 4
    # the rest is what the folder gives without these files
    for path in bad:
        path.unlink()
    expected = opened(root, **way)
    for part in ("train", "val", "test"):
        assert np.array_equal(expected.indices[part], data.indices[part])


def test_a_class_whose_files_are_all_unreadable_is_refused(tmp_path: Path) -> None:
    for path in (make_classes(tmp_path, 2) / "dog").iterdir():
        path.write_text("no image")
    line = refusal(lambda: opened(tmp_path, skip_corrupt=True))
    assert "class 'dog'" in line and "no image that can be read" in line


def test_bytes_after_the_end_of_a_jpeg_do_no_harm(tmp_path: Path) -> None:
    make_classes(tmp_path, 8, extension="jpg")
    with (tmp_path / "dog" / "0002.jpg").open("ab") as file:
        file.write(bytes(5000))
    opened(tmp_path, **STREAMED)


@pytest.mark.parametrize("way", [MEMORY, STREAMED], ids=["memory", "streamed"])
def test_large_images_are_refused_up_to_a_key(way: dict[str, Any], tmp_path: Path) -> None:
    make_classes(tmp_path, 8)
    noise(5, 20).save(tmp_path / "dog" / "0002.png")
    line = refusal(lambda: opened(tmp_path, max_pixels=399, **way))
    assert "dog/0002.png: 20x20 = 400 px are more than dataset.max_pixels=399" in line
    opened(tmp_path, max_pixels=400, **way)
    assert "dataset.max_pixels=0" in refusal(lambda: opened(tmp_path, max_pixels=0))


def test_pillows_own_limit_is_not_met_first(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    make_classes(tmp_path, 8)
    from PIL import Image

    Image.new("1", (20_000, 9_000)).save(tmp_path / "dog" / "0002.png")  # 180 million: Pillow stops at 178.9
    assert "dataset.max_pixels=178956970" in refusal(lambda: opened(tmp_path))
    opened(tmp_path, max_pixels=180_000_000)
    assert not [warning for warning in recwarn if "pixels" in str(warning.message)]


def test_imagenet_names_and_leaves_out_too(tmp_path: Path) -> None:
    make_split(tmp_path, test_folder="val")
    (tmp_path / "val" / "cat" / "0000.png").write_text("no image")
    line = refusal(lambda: ImageNet(str(tmp_path), image_size=8, val_per_class=2))
    assert "val/cat/0000.png" in line and "skip_corrupt" in line
    data = ImageNet(str(tmp_path), image_size=8, val_per_class=2, skip_corrupt=True)
    assert [data.size(part) for part in ("train", "val", "test")] == [24, 6, 11]
    line = refusal(lambda: ImageNet(str(tmp_path), image_size=8, val_per_class=2, skip_corrupt=True, max_pixels=9))
    assert "no image that can be read" in line


# A run that goes on


def reopened(root: Path, split: Path, **options: Any) -> Dataset:
    return opened(root, split=split, **options)


@pytest.fixture
def started(tmp_path: Path) -> tuple[Path, Path, Dataset]:
    """(folder of images, stored split, data set as it was)."""
    root = make_classes(tmp_path / "images", 8)
    data = opened(root)
    data.save_split(tmp_path / "split.npz")
    return root, tmp_path / "split.npz", data


def pixels_of(data: Dataset, part: str = "train") -> torch.Tensor:
    return torch.cat([batch.images for batch in data.batches(part, 100, CPU)])


def test_images_that_are_added_later_change_nothing(started: tuple[Path, Path, Dataset]) -> None:
    root, split, before = started
    noise(77).save(root / "cat" / "0000a.png")
    make_classes(root, 8, classes=["ant"])
    again = reopened(root, split)
    assert again.classes == before.classes and again.summary() == before.summary()
    for part in ("train", "val", "test"):
        assert torch.equal(pixels_of(again, part), pixels_of(before, part))
        assert np.array_equal(again.indices[part], before.indices[part])


def first_of(data: Dataset, part: str) -> str:
    return bytes(data.record[f"{part}_files"][0]).decode()


@pytest.mark.parametrize("part", ["train", "val", "test"])
@pytest.mark.parametrize("way", [MEMORY, STREAMED], ids=["memory", "streamed"])
def test_files_that_are_gone_are_named(part: str, way: dict[str, Any], started: tuple[Path, Path, Dataset]) -> None:
    root, split, before = started
    gone = root / first_of(before, part)
    gone.unlink()
    line = refusal(lambda: reopened(root, split, **way))
    assert str(gone) in line and "1 of the 24 images" in line and "are gone" in line and "skip_corrupt=true" in line


def test_the_place_of_a_lost_file_goes_to_the_next_of_its_class(
    started: tuple[Path, Path, Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    root, split, before = started
    (root / first_of(before, "train")).unlink()
    again = reopened(root, split, skip_corrupt=True)
    assert "takes its place" in capsys.readouterr().err
    labels = before.record["train_labels"]
    second = int(np.flatnonzero(labels == labels[0])[1])
    assert np.array_equal(again.record["train_labels"], labels)
    order = [second, *range(1, len(labels))]
    # the pixels of the others are those of before, up to the mean and deviation of the training part
    scale = torch.tensor(before.std).view(-1, 1, 1), torch.tensor(again.std).view(-1, 1, 1)
    shift = torch.tensor(before.mean).view(-1, 1, 1), torch.tensor(again.mean).view(-1, 1, 1)
    assert torch.allclose(
        pixels_of(again) * scale[1] + shift[1], (pixels_of(before) * scale[0] + shift[0])[order], atol=1e-5
    )
    # stored once, later commands see the same without asking
    again.save_split(split)
    assert torch.equal(pixels_of(reopened(root, split)), pixels_of(again))


def test_a_replaced_file_is_noticed_whatever_is_asked(started: tuple[Path, Path, Dataset]) -> None:
    root, split, before = started
    noise(99).save(root / first_of(before, "val"))
    for skip in (False, True):
        line = refusal(lambda skip=skip: reopened(root, split, skip_corrupt=skip))  # type: ignore[misc]
        assert first_of(before, "val") in line and "other files now" in line


def test_a_class_that_is_gone_cannot_be_made_up_for(started: tuple[Path, Path, Dataset]) -> None:
    root, split, _ = started
    for path in (root / "dog").iterdir():
        path.unlink()
    line = refusal(lambda: reopened(root, split, skip_corrupt=True))
    assert "class 'dog' has no image left" in line


def test_many_lost_files_are_counted(started: tuple[Path, Path, Dataset]) -> None:
    root, split, _ = started
    for path in (root / "dog").iterdir():
        path.unlink()
    line = refusal(lambda: reopened(root, split))
    assert "8 of the 24 images" in line and line.count(".png") == 5 and "and 3 more" in line


def test_a_run_goes_on_without_a_file_that_was_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_classes(tmp_path / "images", 8)
    data = ["dataset=image_folder", f"dataset.root={tmp_path / 'images'}", "dataset.val=3", "dataset.test=3"]
    short = ["batch_size=4", "validation.paths=2", "ranking.paths=2", "benchmark=none", "logger=csv"]
    streamed = ["image_size=8", "dataset.memory_limit_mb=0", "dataset.workers=0"]
    run = tmp_path / "run"
    asked = [*data, *short, *streamed, "budget.steps=2", f"hydra.run.dir={run}"]
    assert launch("train", train.main, asked) == 0
    for path in list((tmp_path / "images" / "cat").iterdir())[:2]:
        path.unlink()
    assert launch("train", train.main, [f"resume={run}", "budget.steps=4"]) == 2
    assert "2 of the 24 images" in capsys.readouterr().err
    assert launch("train", train.main, [f"resume={run}", "budget.steps=4", "dataset.skip_corrupt=true"]) == 0
    assert "passed over: 2 unreadable" in capsys.readouterr().out
    # ranking asks nothing
    assert launch("rank", rank.main, [f"run={run}", "paths=2", "bn=running", f"hydra.run.dir={tmp_path / 'r'}"]) == 0
