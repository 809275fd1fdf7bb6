"""The ground truth of a space: resumable, repeatable, of one recipe."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from src.ground_truth import main
from src.runtime.launch import launch
from src.runtime.result import read_result
from src.runtime.result_schemas import GroundTruthResult

TINY = ["search_space.channels=[4]", "search_space.strides=[1]", "search_space.stem=4"]
TINY += ["seeds=2", "workers=1", "recipe_alone.epochs=1"]


def make(folder: Path, *arguments: str) -> int:
    return launch("ground_truth", main, [*TINY, f"hydra.run.dir={folder}", *arguments])


class InProcess:
    """Stands for the pool: workers take seconds to import torch."""

    def __init__(self, *settings: object, **more: object) -> None:
        pass

    def submit(self, function: Callable[..., Any], *arguments: object) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, **how: object) -> None:
        pass


def test_it_trains_what_is_missing_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("src.standalone.every_path.loop.ProcessPoolExecutor", InProcess)
        assert make(tmp_path) == 0
    runs = pd.read_csv(tmp_path / "runs.csv", dtype={"arch": str})
    assert sorted(zip(runs.arch, runs.seed, strict=True)) == [(a, s) for a in ("0", "1", "2") for s in (0, 1)]
    lines = (tmp_path / "runs.csv").read_text().splitlines(keepends=True)
    (tmp_path / "runs.csv").write_text("".join(lines[:-1]) + "2,1,0.")  # killed while writing the last line
    assert make(tmp_path) == 0
    assert sorted((tmp_path / "runs.csv").read_text().splitlines()) == sorted(line.strip() for line in lines)
    table = pd.read_csv(tmp_path / "table.csv", dtype={"arch": str})
    assert list(table.arch) == ["0", "1", "2"]
    assert table.accuracy.tolist() == pytest.approx(table[["run_0", "run_1"]].mean(axis=1).tolist(), abs=1e-6)
    result = read_result(tmp_path, GroundTruthResult)
    assert result is not None and (result.paths, result.seeds, result.backward_passes) == (3, 2, 6 * 8)
    assert set(result.baselines) == {"params", "macs", "mb_blocks", "e3_blocks"}
    capsys.readouterr()
    assert make(tmp_path, "recipe_alone.epochs=2") == 2
    assert "recipe_alone.epochs" in capsys.readouterr().err
