"""An Elite Space as a search space: its file is read once, and its ranges are stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from src.runtime.elite_space import ELITE_SPACE
from src.runtime.launch import launch
from src.runtime.run_folder import CONFIG
from src.train import main
from tests.test_bad_input import check_one_line

SHORT = ["search_space=expanded_mini", "sampler=spos", "budget.steps=3", "logger=csv", "validation.paths=2"]
SHORT += ["ranking.paths=2", "ranking.images=50", "ranking.calibration_images=50", "validation.calibration_images=50"]


def train(folder: Path, *arguments: str) -> int:
    return launch("train", main, [*SHORT, f"hydra.run.dir={folder}", *arguments])


def test_the_stored_ranges_outlive_their_file(tmp_path: Path) -> None:
    file = tmp_path / ELITE_SPACE
    file.write_text("ranges: [1-2, 9-16, 1-2, 9-16, 3-4, 17-24]\n")
    assert train(tmp_path / "run", f"search_space.within={tmp_path}") == 0
    stored = OmegaConf.load(tmp_path / "run" / CONFIG)
    assert list(stored.search_space.ranges) == ["1-2", "9-16", "1-2", "9-16", "3-4", "17-24"]
    file.unlink()
    assert launch("train", main, [f"resume={tmp_path / 'run'}", "budget.steps=5"]) == 0


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (None, "no such file"),
        ("a: [", "YAML"),
        ("depths: []", "ranges"),
        ("ranges: [1-2]", "give 6"),
        ("- 1", "ranges"),
        (
            "search_space: expanded_mini\nsettings: {stem: 16}\nranges: [1-2, 1-8, 1-2, 1-8, 1-2, 1-8]",
            "was searched with search_space.stem=16, not 8",
        ),
        ("search_space: expanded\nranges: [1-2]", "ranges of expanded, not of expanded_mini"),
    ],
)
def test_a_file_without_ranges_is_refused(
    content: str | None, names: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "space.yaml"
    if content is not None:
        file.write_text(content)
    assert train(tmp_path / "run", f"search_space.within={file}") == 2
    line = capsys.readouterr().err
    check_one_line(line, names)
    assert "interpolation" not in line
    assert not (tmp_path / "run" / CONFIG).exists()
