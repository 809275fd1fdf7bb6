"""experiment=standalone_ranking: k paths of a supernet, each trained alone, held against their one-shot accuracy."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from src.analysis.ranking import kendall, null_sd
from src.retrain import main
from src.runtime.launch import launch
from src.runtime.run_folder import RESULT
from src.search_spaces.mini import Mini
from src.standalone.retraining.module import Retraining
from src.standalone.retraining.ranking_study import StudySettings, choose
from src.supernet.path import parse_path
from src.train import main as train_main
from tests.conftest import drawing
from tests.standalone.retraining.test_resume import kill_at
from tests.test_bad_input import check_one_line
from tests.test_resume import Killed

SHORT = ["experiment=standalone_ranking", "study.count=3", "budget.steps=3", "journal.rows=3", "journal.validations=2"]


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("supernet") / "run"
    short = ["budget.steps=8", "validation.paths=2", "journal.validations=1", "ranking.paths=9"]
    short += ["ranking.calibration_images=100", "ranking.images=100"]
    assert launch("train", train_main, ["logger=csv", *short, f"hydra.run.dir={folder}"]) == 0
    return folder


def study(folder: Path, run: Path, *arguments: str) -> int:
    return launch("retrain", main, ["logger=csv", *SHORT, f"run={run}", f"hydra.run.dir={folder}", *arguments])


@pytest.fixture(scope="module")
def folder(supernet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "run"
    with drawing():
        assert study(folder, supernet) == 0
    return folder


def test_models_lie_at_equal_one_shot_distance(supernet: Path, folder: Path) -> None:
    table = pd.read_csv(folder / "table.csv")
    scores = pd.read_csv(supernet / "scores.csv")
    one_shot = scores[scores.bn == "recalibrate"].accuracy
    assert table.one_shot.tolist() == sorted(table.one_shot)
    assert (table.one_shot.iloc[0], table.one_shot.iloc[-1]) == pytest.approx(
        (one_shot.min(), one_shot.max()), abs=1e-5
    )
    middle = (one_shot.min() + one_shot.max()) / 2
    assert abs(table.one_shot[1] - middle) == pytest.approx((one_shot - middle).abs().min(), abs=1e-5)


def test_the_result_holds_both_orders_against_each_other(folder: Path) -> None:
    table, result = pd.read_csv(folder / "table.csv"), json.loads((folder / RESULT).read_text())
    for row in table.to_dict("records"):
        alone = json.loads((folder / "models" / row["path"] / RESULT).read_text())
        assert (alone["steps"], alone["recipe"]) == (3, "as_supernet")
        assert row["test"] == pytest.approx(alone["test_accuracy"], abs=1e-6)
    found = result["test"]
    assert found["tau"]["value"] == kendall(table.one_shot, table.test).value
    assert found["null_sd"] == null_sd(3)
    assert set(found["baselines"]) == {"params", "macs", "mb_blocks", "e3_blocks"}
    spread = [table[name].max() - table[name].min() for name in ("one_shot", "test")]
    assert found["gap"] == pytest.approx(abs(spread[0] - spread[1]), abs=1e-5)
    assert result["backward_passes"] == 9
    for name in ("ranks", "training"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000


def test_a_killed_study_goes_on_with_the_same_command(
    supernet: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[int] = []
    original = Retraining.training_step

    def counting(self: Retraining, *arguments: object) -> object:
        trained.append(self.steps)
        return original(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        kill_at(2, patch)
        with pytest.raises(Killed):
            study(tmp_path / "cut", supernet)
    with monkeypatch.context() as patch:
        patch.setattr(Retraining, "training_step", counting)
        assert study(tmp_path / "cut", supernet) == 0
        assert len(trained) == 9 - 1  # the first step of the first model was saved
        assert study(tmp_path / "cut", supernet) == 0
        assert len(trained) == 9 - 1
    assert capsys.readouterr().out.count("is finished") == 3
    for name in ("table.csv", "models.csv"):
        assert (tmp_path / "cut" / name).read_text() == (folder / name).read_text()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["study.count=100"], "study.count=100"),
        (["study.count=1"], "study.count"),
        (["study.bn=batch"], "running"),
        (["study.bn=frozen"], "recalibrate"),
        (["study.scores=nowhere.csv"], "nowhere.csv"),
        (["arch=2-0-1-1-0"], "study.count"),
        (["+study.models=3"], "count"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], names: str, supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert study(tmp_path / "run", supernet, *arguments) == 2
    check_one_line(capsys.readouterr().err, names)
    assert not (tmp_path / "run").exists()


HEAD = "path,arch,accuracy,params,macs\n"
ARCHS = ("0-0-0-0-0", "1-1-1-1-1", "2-0-1-1-0")


def rows(accuracies: list[str]) -> str:
    return HEAD + "".join(f"{arch},{arch},{a},1,1\n" for arch, a in zip(ARCHS, accuracies, strict=True))


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"", "scores.csv"),
        (b"\xff\xfe\x00\x81", "scores.csv"),
        (b"path,accuracy\n0-0-0-0-0,0.5\n", "no column 'arch'"),
        (rows(["0.5", "nan", "0.7"]).encode(), "1-1-1-1-1"),
        (rows(["0.5", "good", "0.7"]).encode(), "1-1-1-1-1"),
        (rows(["0.5", "inf", "0.7"]).encode(), "1-1-1-1-1"),
        (rows(["50", "60", "70"]).encode(), "0 to 1"),
        (b"arch,accuracy\n" + b"02012100,0.5\n12012100,0.6\n22012100,0.7\n", "no network of mini"),
    ],
)
def test_bad_scores_are_one_line_and_nothing_is_stored(
    content: bytes, names: str, supernet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scores.csv").write_bytes(content)
    capsys.readouterr()
    assert study(tmp_path / "run", supernet, f"study.scores={tmp_path}/scores.csv") == 2
    check_one_line(capsys.readouterr().err, names)
    assert not (tmp_path / "run").exists()


def test_scores_need_no_protocol_and_no_costs(supernet: Path, tmp_path: Path) -> None:
    """Costs are the networks' own, whatever the file says of them."""
    scores = tmp_path / "scores.csv"
    scores.write_text("arch,accuracy\n1-1-1-1-1,0.6\n0-0-0-0-0,0.5\n2-0-1-1-0,0.7\n")
    settings = StudySettings(str(supernet), 3, "recalibrate", str(scores), seed=0, dataset="digits")
    chosen = choose(settings, tmp_path, Mini(), Mini.reference)
    assert chosen.path.tolist() == ["0-0-0-0-0", "1-1-1-1-1", "2-0-1-1-0"]
    assert chosen.one_shot.tolist() == [0.5, 0.6, 0.7]
    assert chosen.macs.tolist() == [Mini().costs(parse_path(path)).macs for path in chosen.path]


def test_other_commands_do_not_take_the_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["experiment=standalone_ranking", f"hydra.run.dir={tmp_path}/run"]
    assert launch("train", train_main, arguments) == 2
    check_one_line(capsys.readouterr().err, "src.train has no recipe")
