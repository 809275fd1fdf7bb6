"""The whole evaluation in small: searches, their spaces compared, killed and resumed; and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from src.ground_truth import main
from src.runtime.launch import launch
from src.runtime.run_folder import read_json
from src.train import main as train
from tests.test_bad_input import check_one_line
from tests.test_ground_truth import InProcess

SMALL = ["search_space.depth=2", "search_space.width=8", "search_space.stem=4", "partition.depth=1"]
SMALL += ["partition.width=4"]
SEARCH = ["experiment=nss", "cost.target=60e3", "budget.steps=4", "ranking.paths=3", "logger=csv", *SMALL]
STUDY = ["experiment=nss_evaluation", "study.networks=3", "study.rivals=2", "study.candidates=2", "seeds=2"]
STUDY += ["recipe_alone.epochs=1", "workers=1", *SMALL]


def evaluate(folder: Path, searches: Path | str, *more: str) -> int:
    return launch("ground_truth", main, [*STUDY, f"study.searches={searches}", f"hydra.run.dir={folder}", *more])


@pytest.mark.slow
def test_spaces_of_two_searches_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        assert launch("train", train, [*SEARCH, f"seed={seed}", f"hydra.run.dir={tmp_path / 'nss' / str(seed)}"]) == 0
    monkeypatch.setattr("src.standalone.every_path.loop.ProcessPoolExecutor", InProcess)
    out = tmp_path / "study"
    assert evaluate(out, tmp_path / "nss") == 0
    # networks of every space once, those that were picked with every seed
    runs, networks, picked = (pd.read_csv(out / f"{name}.csv") for name in ("runs", "networks", "picked"))
    assert set(runs[runs.seed == 0].arch) == set(networks.arch) | set(picked.arch)
    assert set(runs[runs.seed == 1].arch) == set(picked.arch)
    assert len(picked) == 2 * 3 and set(networks.groupby(["arm", "space"]).size()) <= {3, 6}
    candidates = pd.read_csv(out / "candidates.csv")
    best = candidates.groupby(["search", "arm"]).accuracy.max()
    assert picked.set_index(["search", "arm"]).accuracy.sort_index().tolist() == pytest.approx(best.tolist(), abs=1e-6)
    errors = runs.set_index(["arch", "seed"]).test.rsub(1)
    assert picked.error.tolist() == pytest.approx([errors[arch].mean() for arch in picked.arch], abs=1e-5)
    result = read_json(out / "result.json")
    assert result is not None and list(result["targets"]) == ["60000"]
    assert Path(result["figures"][0]).exists()
    # stopped before the last training, and while a search's scores were written: the same again
    for file in ("runs.csv", "spaces.csv", "picked.csv"):
        lines = (out / file).read_text()
        (out / file).write_text(lines[: lines.rindex(",")])
    before = networks.copy(), candidates.copy()
    assert evaluate(out, tmp_path / "nss") == 0
    assert pd.read_csv(out / "networks.csv").equals(before[0])
    assert pd.read_csv(out / "candidates.csv").equals(before[1])
    assert pd.read_csv(out / "picked.csv").equals(picked)
    again = read_json(out / "result.json")
    assert again is not None and again["targets"] == result["targets"]
    # another space than that of the searches
    capsys.readouterr()
    assert evaluate(tmp_path / "other", tmp_path / "nss", "search_space.stem=8") == 2
    check_one_line(capsys.readouterr().err, "has search_space.stem=4")


def test_without_searches_it_says_what_to_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tmp_path / "a", tmp_path) == 2
    check_one_line(capsys.readouterr().err, "study.searches")
    other = ["experiment=nss_evaluation", "search_space=mini", f"study.searches={tmp_path}"]
    assert launch("ground_truth", main, [*other, f"hydra.run.dir={tmp_path / 'b'}"]) == 2
    check_one_line(capsys.readouterr().err, "network spaces, which mini has none of")
