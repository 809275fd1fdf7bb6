"""What the README tells a user with own images to do, done on a small folder: its very lines, with small budgets."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src import export, retrain, search, train
from src.runtime.launch import launch

ROOT = Path(__file__).resolve().parents[1]
HEADING = "## Your own images"
MAINS = {"train": train.main, "search": search.main, "retrain": retrain.main, "export": export.main}
SMALL = {
    "train": "logger=csv budget.steps=3 batch_size=8 validation.paths=2 ranking.paths=2 ranking.calibration_images=8",
    "search": "logger=csv budget.models=24 searcher.population=12 calibration_images=8",
    "retrain": "logger=csv budget.epochs=1 batch_size=8 calibration_images=8",
    "export": "",
}


def readme_commands() -> list[tuple[str, list[str]]]:
    """(command, arguments) of every indented line of the section."""
    section = (ROOT / "README.md").read_text().split(HEADING)[1].split("\n## ")[0]
    lines = re.findall(r"^    python -m src\.(\w+) ([^#\n]+)", section.replace("\\\n", " "), re.MULTILINE)
    return [(name, shlex.split(arguments)) for name, arguments in lines]


def make_images(root: Path) -> None:
    """Two classes of noise, one darker than the other, of several sizes and modes."""
    rng = np.random.default_rng(0)
    for label, brightest in (("cats", 256), ("dogs", 90)):
        (root / label).mkdir(parents=True)
        for i in range(24):
            pixels = rng.integers(0, brightest, (30 + i % 5, 36, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert("L" if i % 4 == 0 else "RGB").save(root / label / f"{i}.png")


@pytest.mark.slow
def test_own_images_become_a_network_in_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "my_images")
    commands = readme_commands()
    assert [name for name, _ in commands] == ["train", "search", "retrain", "export"]
    for name, arguments in commands:
        assert launch(name, MAINS[name], [*arguments, *SMALL[name].split()]) == 0
    onnx = next(tmp_path.rglob("model.onnx"))
    result = json.loads((onnx.parent / "result.json").read_text())
    meta = json.loads((onnx.parent / "meta.json").read_text())
    assert meta["classes"] == ["cats", "dogs"]
    assert result["macs"] <= float(next(a for _, args in commands for a in args if a.startswith("limit.macs="))[11:])
    check_pixels(onnx)


def check_pixels(onnx: Path) -> None:
    """The file reads images as a camera gives them: uint8, any number at a time."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx))
    name = session.get_inputs()[0].name
    for count in (1, 3):
        (logits,) = session.run(None, {name: np.zeros((count, 3, 32, 32), dtype=np.uint8)})
        assert logits.shape == (count, 2)


def test_every_command_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"python -m src\.(\w+)", text))
    assert named >= {"train", "rank", "search", "retrain", "export", "report", "describe", "bench", "ground_truth"}
    assert all((ROOT / "src" / f"{name}.py").is_file() for name in named)
