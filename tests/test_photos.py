"""A folder of photographs through the exported files alone: the pixels, and the accuracy, of the data set."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src import export, retrain
from src.datasets.image_folder import image_folder
from src.runtime.launch import launch
from src.standalone.exporting.module import import_model
from tests.datasets.made_images import make_split

ORIENTATION = 0x0112
"""EXIF tag; 6 means turned by 90 degrees."""

# What a user of the files writes, who has no other part of this project.
PROGRAM = """
import json, pathlib, sys
import numpy, onnxruntime, torch
import model

network, session = model.load(), onnxruntime.InferenceSession("model.onnx")
right, files = [0, 0], sorted(pathlib.Path(sys.argv[1]).rglob("*.*"))
for file in files:
    label = model.CLASSES.index(file.parent.name)
    right[0] += int(network(model.preprocess(file)).argmax() == label)
    pixels = model.read_image(file).numpy()[None]
    right[1] += int(session.run(None, {"images": pixels})[0].argmax() == label)
print(json.dumps([count / len(files) for count in right]))
"""


def make_photos(root: Path, seed: int) -> None:
    """Two classes, one darker, of several sizes, modes and formats, some turned, some transparent, some of 16 bits."""
    rng = np.random.default_rng(seed)
    for label, brightest in (("day", 256), ("night", 120)):
        folder = root / label
        folder.mkdir(parents=True)
        for i in range(30):
            width, height = rng.integers(9, 60, 2)
            image = Image.fromarray(rng.integers(0, brightest, (height, width, 3), dtype=np.uint8))
            if i % 5 == 0:
                exif = Image.Exif()
                exif[ORIENTATION] = 6
                image.save(folder / f"{i}.jpg", exif=exif, quality=95)
            elif i % 5 == 1:
                image.putalpha(Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8)))
                image.save(folder / f"{i}.png")
            elif i % 5 == 2:
                image.convert("P").save(folder / f"{i}.gif")
            elif i % 5 == 3:
                grey = rng.integers(300, 300 + brightest, (height, width), dtype=np.uint16)
                Image.fromarray(grey).save(folder / f"{i}.png")
            else:
                image.save(folder / f"{i}.webp", lossless=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    for number, part in enumerate(("train", "test")):
        make_photos(root / part, number)
    return root


@pytest.fixture(scope="module")
def network(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network trained on them for a few steps, and exported."""
    folder = tmp_path_factory.mktemp("runs") / "network"
    data = ["dataset=image_folder", f"dataset.root={photos}", "image_size=16", "dataset.cache=null"]
    short = ["arch=2-0-2-1-1", "batch_size=10", "budget.steps=12", "logger=csv", "journal.validations=1"]
    assert launch("retrain", retrain.main, [*data, *short, f"hydra.run.dir={folder}"]) == 0
    assert launch("export", export.main, [f"run={folder}", "normalise=true"]) == 0
    return folder


@pytest.mark.slow
def test_the_exported_files_alone_give_the_test_accuracy(network: Path, photos: Path) -> None:
    wanted = json.loads((network / "result.json").read_text())["test_accuracy"]
    assert 0.6 < wanted < 1  # neither chance nor perfect, so that a wrong pixel would show
    command = [sys.executable, "-c", PROGRAM, str(photos / "test")]
    done = subprocess.run(command, cwd=network / "export", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [pytest.approx(wanted)] * 2


def test_the_exported_reader_gives_the_pixels_of_the_data_set(network: Path, photos: Path) -> None:
    model = import_model(network / "export" / "model.py")
    data = image_folder(str(photos), image_size=16, cache=None, levels="auto")
    (batch,) = data.batches("test", 1000, torch.device("cpu"))
    by_index = dict(zip(batch.index.tolist(), batch.images, strict=True))
    files = [path for label in data.classes for path in sorted((photos / "test" / label).iterdir(), key=str)]
    assert len(files) == len(by_index) == 60
    for number, file in enumerate(files):
        assert torch.equal(model.preprocess(file)[0], by_index[number]), file


def test_every_step_is_named_in_the_exported_files(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx

    meta = json.loads((network / "export" / "meta.json").read_text())
    stored = json.loads((network / "result.json").read_text())["preprocessing"]
    in_onnx = {p.key: p.value for p in onnx.load(network / "export" / "model.onnx").metadata_props}
    assert stored == meta["preprocessing"] == json.loads(in_onnx["preprocessing"])
    assert json.loads(in_onnx["classes"]) == meta["classes"] == ["day", "night"]
    assert stored["levels"][0] >= 300
    assert len(stored["steps"]) == 5
    model = import_model(network / "export" / "model.py")
    assert meta["classes"] == model.CLASSES
    assert all(step in model.read_image.__doc__ for step in stored["steps"])
    assert model.Network.pretrained_cfg["crop_pct"] == 1.0
    assert model.Network.pretrained_cfg["interpolation"] == "box"


def make_deep(root: Path, low: int, high: int) -> Path:
    """16-bit greys of a narrow range."""
    make_split(root, train=4, test=2)
    rng = np.random.default_rng(0)
    for path in root.rglob("*.png"):
        Image.fromarray(rng.integers(low, high + 1, (8, 8), dtype=np.uint16)).save(path)
    return root


def test_few_of_16_bits_are_stretched_to_all_of_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_deep(tmp_path / "deep", 291, 694)
    # as before there was a choice: a handful of grey levels
    crushed = image_folder(str(root), channels=1, cache=None, val=3)
    assert len(crushed.part("train").images.unique()) < 5  # type: ignore[attr-defined]
    capsys.readouterr()
    stretched = image_folder(str(root), channels=1, cache=None, val=3, levels="auto")
    assert "16-bit greys from 291 to 694" in capsys.readouterr().out
    values = stretched.part("train").images  # type: ignore[attr-defined]
    assert (values.min(), values.max()) == (0, 255)
    assert len(values.unique()) > 150
    chosen = image_folder(str(root), channels=1, cache=None, val=3, levels=[291, 694])
    assert torch.equal(chosen.part("train").images, values)  # type: ignore[attr-defined]


def test_levels_come_from_training_images_alone(tmp_path: Path) -> None:
    root = make_deep(tmp_path / "deep", 1000, 2000)
    for path in (root / "test").rglob("*.png"):
        Image.fromarray(np.full((8, 8), 60000, np.uint16)).save(path)
    data = image_folder(str(root), channels=1, cache=None, val=3, levels="auto")
    assert data.preprocessing is not None
    assert 1000 <= data.preprocessing.levels[0] < data.preprocessing.levels[1] <= 2000
    assert (data.part("test").images == 255).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize("levels", ["[5,5]", "[0]", "[0,70000]", "dark"])
def test_other_levels_are_refused(levels: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_split(tmp_path / "images")
    arguments = ["dataset=image_folder", f"dataset.root={root}", f"dataset.levels={levels}", "arch=0-0-0-0-0"]
    assert launch("retrain", retrain.main, [*arguments, "logger=csv", f"hydra.run.dir={tmp_path}/run"]) == 2
    assert "dataset.levels" in capsys.readouterr().err
