"""Ensembles: means of the scores of several supernets, each scored in its own folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.rank import main
from src.ranking.ensemble import common_setting, members
from src.runtime.launch import launch
from src.runtime.run_folder import RESULT, SCORES, SPLIT
from src.search import main as search
from src.searching.archive import ARCHIVE
from src.train import main as train_main
from tests.test_bad_input import check_one_line

QUICK = ["images=100", "calibration_images=50", "batch_size=50", "device=cpu", "bn=recalibrate", "paths=12"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short runs that differ in their seed."""
    folder = tmp_path_factory.mktemp("sweep")
    settings = ["logger=csv", "budget.steps=10", "ranking.paths=2", "validation.paths=2", "ranking.images=50"]
    for seed in (0, 1):
        run = folder / f"seed{seed}"
        assert launch("train", train_main, [*settings, f"seed={seed}", f"hydra.run.dir={run}"]) == 0
    return folder


def rank(run: object, out: Path, *more: str) -> int:
    return launch("rank", main, [f"run={run}", *QUICK, *more, f"hydra.run.dir={out}"])


def result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / RESULT).read_text()))


def scores(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / SCORES, dtype={"arch": str}).set_index("arch").sort_index()


def test_the_mean_of_two_is_ranked_beside_each(sweep: Path, tmp_path: Path) -> None:
    assert rank(sweep, tmp_path / "both") == 0
    single = [scores(sweep / name / "rank" / "mini") for name in ("seed0", "seed1")]
    both = scores(tmp_path / "both")
    for name in ("accuracy", "loss"):
        np.testing.assert_allclose(both[name], (single[0][name] + single[1][name]) / 2, rtol=1e-12)
    found = result(tmp_path / "both")
    taus = [member["tau"]["recalibrate"] for member in found["members"]]
    # each member ranked by itself says the same
    for name, tau in zip(("seed0", "seed1"), taus, strict=True):
        assert rank(sweep / name, tmp_path / name) == 0
        own = result(sweep / name / "rank" / "mini")["ranking"]["recalibrate"]
        assert own[found["ranked_by"]]["all"]["tau"]["value"] == pytest.approx(tau)
    consistency = found["self_consistency"]["recalibrate"]
    assert consistency["n"] == 12 and len(consistency["pairs"]) == 1


def test_an_ensemble_leaves_the_rankings_of_its_members_as_they_are(sweep: Path, tmp_path: Path) -> None:
    folder = sweep / "seed1" / "rank" / "mini"
    assert rank(sweep / "seed1", tmp_path / "unused") == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "provenance.json"}
    assert rank(sweep, tmp_path / "both", "paths=14") == 0
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "provenance.json"}
    assert len(scores(folder)) > 12 and before.pop(SCORES) in after.pop(SCORES)
    assert before == after and RESULT in before


def test_the_ensemble_of_one_run_is_that_run(sweep: Path, tmp_path: Path) -> None:
    assert rank(f"[{sweep / 'seed0'}]", tmp_path / "one") == 0
    assert rank(sweep / "seed0", tmp_path / "unused") == 0
    alone, one = result(sweep / "seed0" / "rank" / "mini"), result(tmp_path / "one")
    assert one["ranking"] == alone["ranking"] and one["scores"] == alone["scores"]
    assert one["self_consistency"]["recalibrate"] is None


def test_other_images_need_a_new_folder_and_out_is_one(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rank(sweep, tmp_path / "both") == 0
    capsys.readouterr()
    assert rank(sweep, tmp_path / "refused", "images=50") == 2
    check_one_line(capsys.readouterr().err, "out=")
    out = tmp_path / "fifty"
    assert rank(sweep, tmp_path / "unused", "images=50", f"out={out}") == 0
    each = [scores(out / f"supernet_{place}").loss for place in (1, 2)]
    np.testing.assert_allclose(scores(out).loss, sum(each) / 2, rtol=1e-12)
    assert not np.allclose(each[0], scores(sweep / "seed0" / "rank" / "mini").loss[each[0].index])


def test_runs_of_a_sweep_are_its_finished_ones(sweep: Path, tmp_path: Path) -> None:
    assert members(str(sweep)) == [str(sweep / "seed0"), str(sweep / "seed1")]
    copy = tmp_path / "sweep"
    shutil.copytree(sweep, copy)
    (copy / "seed1" / RESULT).unlink()
    assert members(str(copy)) == [str(copy / "seed0")]
    # a ranking of the sweep in its own folder is none of its members
    assert rank(copy, tmp_path / "unused", f"out={copy / 'together'}") == 0
    assert members(str(copy)) == [str(copy / "seed0")]
    assert members([str(sweep), str(sweep / "seed0")]) == members(str(sweep))


def test_supernets_of_other_images_or_spaces_are_refused(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(sweep / "seed1", other)
    with np.load(other / SPLIT) as parts:
        moved = {name: parts[name][::-1] for name in parts.files}
    np.savez(other / SPLIT, **moved)
    capsys.readouterr()
    assert rank(f"[{sweep / 'seed0'},{other}]", tmp_path / "out") == 2
    check_one_line(capsys.readouterr().err, "hold out other images")
    config = (other / "config.yaml").read_text()
    # losses of two scales have no mean, unless one is asked for
    shutil.copy(sweep / "seed1" / SPLIT, other / SPLIT)
    (other / "config.yaml").write_text(config.replace("temperature: 1.0", "temperature: 3.0"))
    assert rank(f"[{sweep / 'seed0'},{other}]", tmp_path / "out") == 2
    check_one_line(capsys.readouterr().err, "ranking.temperature of these is 1, 3: say which with temperature=<number>")
    assert common_setting([str(sweep / "seed0"), str(other)], "temperature", 2, "") == 2
    # nor has a mean an order, if its members rank by two scores; a search of them needs one too
    (other / "config.yaml").write_text(config.replace("  by: loss", "  by: accuracy"))
    assert rank(f"[{sweep / 'seed0'},{other}]", tmp_path / "out") == 2
    check_one_line(capsys.readouterr().err, "ranking.by of these is loss, accuracy: say which with by=loss|accuracy")
    assert launch("search", search, [f"run=[{sweep / 'seed0'},{other}]", f"hydra.run.dir={tmp_path / 'out'}"]) == 2
    check_one_line(capsys.readouterr().err, "say which with objectives=")
    (other / "config.yaml").write_text(config.replace("stem: 8", "stem: 4"))
    assert rank(f"[{sweep / 'seed0'},{other}]", tmp_path / "out") == 2
    check_one_line(capsys.readouterr().err, "search_space.stem=4")
    assert rank(f"[{sweep / 'seed0'},{tmp_path / 'none'}]", tmp_path / "out") == 2
    check_one_line(capsys.readouterr().err, "none")
    for one_run in ("proxies=[swap]", "similarity.layer=1"):
        assert rank(sweep, tmp_path / "out", one_run) == 2
        check_one_line(capsys.readouterr().err, f"{one_run.partition('=')[0]}= is of one run")
    assert not (tmp_path / "out").exists()


def test_a_search_of_several_sees_their_mean(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["searcher=random_search", "budget.models=8", "images=100", "calibration_images=50", "logger=csv"]
    archives = {}
    for name, run in (("a", sweep / "seed0"), ("b", sweep / "seed1"), ("both", sweep)):
        assert launch("search", search, [f"run={run}", *few, f"hydra.run.dir={tmp_path / name}"]) == 0
        archives[name] = pd.read_csv(tmp_path / name / ARCHIVE, dtype={"arch": str}).set_index("arch").sort_index()
    for name in ("accuracy", "loss"):
        mean = (archives["a"][name] + archives["b"][name]) / 2
        np.testing.assert_allclose(archives["both"][name], mean, rtol=1e-9)
    # it goes on with the same supernets alone
    capsys.readouterr()
    other = [f"run=[{sweep / 'seed0'}]", *few, "budget.models=10", f"hydra.run.dir={tmp_path / 'both'}"]
    assert launch("search", search, other) == 2
    check_one_line(capsys.readouterr().err, "run")
