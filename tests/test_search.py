"""The command: a search of a supernet, of a table and of the truth; what it leaves, how it goes on, what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from src.runtime.config_reference import read_reference
from src.runtime.launch import launch
from src.runtime.run_folder import ARCHIVE, CONFIG, FRONT, GENERATIONS, RESULT, SELECTED, claim
from src.runtime.stored_run import load_config
from src.search import main
from src.search_spaces.mini import Mini
from src.searchers.objectives import COMPUTED
from src.searching.latency import ModuleTimer
from src.supernet.evaluator import Evaluator, ScoringSettings
from src.train import main as train_main
from src.training.trained_supernet import load_trained_supernet

ROOT = Path(__file__).resolve().parents[1]
TRUTH = ["evaluator=truth", "benchmark=mini", "logger=csv"]
QUICK = ["images=100", "calibration_images=50", "batch_size=50", "device=cpu", "logger=csv"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training run."""
    folder = tmp_path_factory.mktemp("runs") / "short"
    settings = ["logger=csv", "budget.steps=40", "ranking.paths=243", "validation.paths=2"]
    settings += ["ranking.images=100", "ranking.calibration_images=50", "ranking.batch_size=50"]
    assert launch("train", train_main, [*settings, f"hydra.run.dir={folder}"]) == 0
    return folder


def search(folder: Path, *arguments: str) -> int:
    return launch("search", main, [*arguments, f"hydra.run.dir={folder}"])


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / name, dtype={"arch": str})


def result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / RESULT).read_text()))


def test_a_supernet_is_searched(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path, f"run={run}", *QUICK, "budget.models=40", "searcher.population=16", "limit.macs=70000") == 0
    archive, front, selected = (table(tmp_path, name) for name in (ARCHIVE, FRONT, SELECTED))
    assert len(archive) == archive.arch.nunique() == 40
    assert archive.macs.max() <= 70_000
    assert set(front.arch) <= set(archive.arch)
    assert len(selected) == 3
    assert set(selected.arch) <= set(front.arch)
    assert selected.macs.is_monotonic_increasing
    assert (selected.macs.iloc[0], selected.macs.iloc[-1]) == (front.macs.min(), front.macs.max())
    for row in front.itertuples():  # nothing scored dominates a network of the front, by the loss that ranks mini
        better = (archive.loss <= row.loss) & (archive.macs <= row.macs) & (archive.params <= row.params)
        strictly = (archive.loss < row.loss) | (archive.macs < row.macs) | (archive.params < row.params)
        assert not (better & strictly).any()
    found = result(tmp_path)
    assert (found["models"], found["front"], found["command"]) == (40, len(front), "search")
    assert found["objectives"] == ["loss", "macs", "params"]
    assert 0 < found["true_hypervolume"] < 1  # the run's own benchmark
    drawn = {"front.png", "hypervolume.png", *(f"network_{i}.png" for i in range(3))}
    assert {path.name for path in (tmp_path / "figures").glob("*.png")} == drawn
    assert "selected" in capsys.readouterr().out


def test_a_table_without_losses_is_searched_by_accuracy(run: Path, tmp_path: Path) -> None:
    table(run, "scores.csv").drop(columns="loss").to_csv(tmp_path / "accuracies.csv", index=False)
    for name, score in (("scores.csv", "loss"), ("accuracies.csv", "accuracy")):
        file = (run if name == "scores.csv" else tmp_path) / name
        arguments = [f"scores={file}", "search_space=mini", "budget.models=10", "logger=csv"]
        assert search(tmp_path / score, *arguments) == 0
        assert result(tmp_path / score)["objectives"] == [score, "macs", "params"]


def test_its_scores_are_those_of_the_evaluator(run: Path, tmp_path: Path) -> None:
    assert search(tmp_path, f"run={run}", *QUICK, "budget.models=6", "objectives=[loss,params]") == 0
    conditions = {"bn": "recalibrate", "images": 100, "calibration_images": 50, "batch_size": 50, "temperature": 1.0}
    assert result(tmp_path)["scoring"] == conditions
    trained = load_trained_supernet(str(run), torch.device("cpu"))
    evaluator = Evaluator(
        trained.net, trained.dataset, torch.device("cpu"), "recalibrate", ScoringSettings(100, 50, 50)
    )
    for row in table(tmp_path, ARCHIVE).itertuples():
        assert evaluator.score(trained.space.parse(row.arch)) == (row.accuracy, row.loss)


def test_the_scores_of_a_run_are_a_table_to_search(run: Path, tmp_path: Path) -> None:
    arguments = [f"scores={run}/scores.csv", "benchmark=mini", "budget.models=30", "logger=csv", "bn=running"]
    assert search(tmp_path, *arguments, "searcher=nsga2") == 0
    scores = table(run, "scores.csv")
    stored = scores[scores.bn == "running"].set_index("arch").accuracy
    for row in table(tmp_path, ARCHIVE).itertuples():
        assert row.accuracy == stored[str(row.arch)]
    assert result(tmp_path)["evaluator"] == "scores" and result(tmp_path)["scoring"] == {}


def test_a_search_of_the_whole_space_finds_the_true_front(tmp_path: Path) -> None:
    assert search(tmp_path, *TRUTH, "searcher=random_search", "budget.models=243") == 0
    assert result(tmp_path)["true_hypervolume"] == pytest.approx(1)


def test_latency_is_measured_once_and_can_be_brought_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.searching.build.ModuleTimer", partial(ModuleTimer, seconds=0.002))
    arguments = [*TRUTH, "budget.models=20", "objectives=[accuracy,latency]", "latency.check=0", "searcher=nsga2"]
    assert search(tmp_path / "one", *arguments) == 0
    latency = tmp_path / "one" / "latency.csv"
    archive = table(tmp_path / "one", ARCHIVE)
    space = Mini()
    assert archive.latency.min() > 0
    assert search(tmp_path / "two", *arguments, f"latency.table={latency}") == 0
    pd.testing.assert_frame_equal(table(tmp_path / "two", ARCHIVE), archive)
    assert not (tmp_path / "two" / "latency.csv").exists()
    assert space.count == 243


def test_a_search_goes_on_and_a_finished_one_returns_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, budgets in ((tmp_path / "whole", [96]), (tmp_path / "parts", [32, 96])):
        for models in budgets:
            assert search(folder, *TRUTH, f"budget.models={models}", "searcher.population=16") == 0
    assert (tmp_path / "parts" / ARCHIVE).read_text() == (tmp_path / "whole" / ARCHIVE).read_text()
    capsys.readouterr()
    assert launch("search", main, [f"resume={tmp_path / 'whole'}"]) == 0
    assert "is finished: 96 models" in capsys.readouterr().out
    assert launch("search", main, [f"resume={tmp_path / 'whole'}", "searcher=nsga2"]) == 2
    assert "was started with" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_of_days_before_a_key_goes_on(run: Path, tmp_path: Path) -> None:
    for number, source in enumerate(([f"run={run}", *QUICK], TRUTH)):
        folder = tmp_path / str(number)
        assert search(folder, *source, "budget.models=6") == 0
        stored = load_config(folder / CONFIG, migrated=False)
        del stored["temperature"]
        OmegaConf.save(stored, folder / CONFIG)
        assert search(folder, f"resume={folder}", "budget.models=9") == 0
        assert len(table(folder, ARCHIVE)) == 9


def test_a_sweep_runs_every_searcher_and_skips_what_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["-m", *TRUTH, "searcher=random_search,nsga2", "seed=0,1", "budget.models=70"]
    assert launch("search", main, [*arguments, f"hydra.sweep.dir={tmp_path}"]) == 0
    assert len(list(tmp_path.glob("*/result.json"))) == 4
    capsys.readouterr()
    assert launch("search", main, [*arguments, f"hydra.sweep.dir={tmp_path}"]) == 0
    assert capsys.readouterr().out.count("is finished") == 4


def test_a_sweep_on_a_supernet_goes_on_by_the_same_command(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["-m", f"run={run}", *QUICK, "seed=0,1", "budget.models=6", f"hydra.sweep.dir={tmp_path}"]
    assert launch("search", main, arguments) == 0
    capsys.readouterr()
    assert launch("search", main, arguments) == 0
    assert capsys.readouterr().out.count("is finished") == 2


def test_other_weights_are_not_searched_on(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other)
    folder = tmp_path / "search"
    assert search(folder, f"run={other}", *QUICK, "budget.models=10") == 0
    checkpoint = other / "checkpoints" / "last.ckpt"
    state = torch.load(checkpoint, weights_only=True)
    state["state_dict"]["net.tail.linear.bias"] += 1
    torch.save(state, checkpoint)
    assert search(folder, f"run={other}", "budget.models=20") == 2
    assert "begun with other scores" in capsys.readouterr().err


def test_other_scores_are_not_searched_on(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, folder = tmp_path / "scores.csv", tmp_path / "search"
    scores = table(run, "scores.csv")
    scores.to_csv(file, index=False)
    arguments = [f"scores={file}", "benchmark=mini", "logger=csv"]
    assert search(folder, *arguments, "budget.models=70") == 0
    scores.assign(loss=scores.loss / 2).to_csv(file, index=False)
    assert search(folder, *arguments, "budget.models=100") == 2
    assert "begun with other scores: table was" in capsys.readouterr().err


def test_a_search_in_progress_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path, *TRUTH, "budget.models=70") == 0
    ahead = (tmp_path / ARCHIVE).read_text() + "3,1-1-1-1-1,1-1-1-1-1,0.9,,1,1,,0.9\n"
    (tmp_path / ARCHIVE).write_text(ahead)
    with claim(tmp_path):
        assert search(tmp_path, *TRUTH, "budget.models=100") == 2
    assert "in use by another process" in capsys.readouterr().err
    assert (tmp_path / ARCHIVE).read_text() == ahead


def test_another_selection_of_a_finished_search_is_made(tmp_path: Path) -> None:
    assert search(tmp_path, *TRUTH, "budget.models=100") == 0
    archive = (tmp_path / ARCHIVE).read_text()
    assert launch("search", main, [f"resume={tmp_path}", "select=5"]) == 0
    assert len(table(tmp_path, SELECTED)) == 5
    assert (tmp_path / ARCHIVE).read_text() == archive


def test_it_says_why_it_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert search(tmp_path / "all", *TRUTH, "searcher=nsga2") == 0
    assert "nothing new is proposed" in capsys.readouterr().out
    assert result(tmp_path / "all")["models"] == 243
    assert search(tmp_path / "two", *TRUTH, "budget.generations=2") == 0
    assert result(tmp_path / "two")["ended"] == "the budget of generations is spent"


@pytest.mark.parametrize(
    "values, line", [("95.0", "fractions from 0 to 1"), ("abc", "not a number"), ("", "not a number")]
)
def test_scores_that_are_no_accuracies_are_refused(
    values: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{arch},{0.5 if i else values}" for i, arch in enumerate(map(Mini().format, Mini().paths()))]
    (tmp_path / "scores.csv").write_text("\n".join(["arch,accuracy", *rows]) + "\n")
    arguments = [f"scores={tmp_path / 'scores.csv'}", "search_space=mini", "logger=csv"]
    assert search(tmp_path / "run", *arguments) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    arguments = [*TRUTH, "budget.models=243", "searcher.population=8", "searcher=nsga2_rl"]
    command = [sys.executable, "-m", "src.search", *arguments, f"hydra.run.dir={tmp_path / 'killed'}"]
    archive = tmp_path / "killed" / ARCHIVE
    for size in (1, 4000, 8000, 11000):  # bytes of the archive when the kill comes: early, and late
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (archive.exists() and archive.stat().st_size > size):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert search(tmp_path / "whole", *arguments) == 0
    assert (tmp_path / "killed" / ARCHIVE).read_text() == (tmp_path / "whole" / ARCHIVE).read_text()


BAD = [
    ([], "run=<folder of a training run>"),
    (["run=a", "scores=b"], "give one of"),
    (["run=nowhere"], "no such run folder"),
    (["scores=nowhere.csv", "search_space=mini"], "no such file"),
    (["scores=nowhere.csv"], "say of which space"),
    (["evaluator=truth"], "say of which space"),
    (["evaluator=truth", "search_space=mini"], "needs a benchmark"),
    (["evaluator=oracle"], "supernet, scores, truth"),
    (["evaluator=supernet"], "needs run=<path>"),
    ([*TRUTH, "searcher=nsga3"], "did you mean nsga2"),
    ([*TRUTH, "objectives=[acuracy]"], "did you mean accuracy"),
    ([*TRUTH, "objectives=macs"], "use a list"),
    ([*TRUTH, "objectives=[macs,params]"], "add score, accuracy or loss"),
    ([*TRUTH, "objectives=[loss]"], "accuracies alone"),
    ([*TRUTH, "limit.macs=1000"], "between 6264 and 139896"),
    ([*TRUTH, "limit.mac=1000"], "macs"),
    ([*TRUTH, "limit.macs=few"], "limit.macs=few"),
    ([*TRUTH, "limit.macs=[1,2,3]"], "least and most"),
    ([*TRUTH, "limit.macs=[200e3,300e3]"], "between 6264 and 139896"),
    ([*TRUTH, "limit.macs=[60e3,50e3]"], "lower end"),
    ([*TRUTH, "budget.models=0"], "budget.models=0"),
    ([*TRUTH, "select=0"], "select=0"),
    ([*TRUTH, "seed=-1"], "seed"),
    ([*TRUTH, "bn=frozen"], "recalibrate"),
    ([*TRUTH, "searcher.population=1"], "searcher.population=1"),
    ([*TRUTH, "+searcher.elite=3"], "elite"),
    ([*TRUTH, "latency.backend=tflite"], "torch, onnxruntime"),
    ([*TRUTH, "objectives=[accuracy,latency]", "latency.table=nowhere.csv"], "no such file"),
    ([*TRUTH, "resume=nowhere"], "no such run folder"),
    ([*TRUTH, "run=nowhere"], "leave evaluator=truth or run= out"),
    (["run=nowhere", "search_space=mini"], "search_space= does not go with run="),
    ([*TRUTH, "split=test"], "split"),
    ([*TRUTH, "temperature=3"], "temperature= is of scoring a supernet: it does not go with evaluator=truth"),
    ([*TRUTH, "bn=batch"], "bn= is of scoring a supernet: it does not go with evaluator=truth"),
    ([*TRUTH, "supernet_checkpoint=previous"], "supernet_checkpoint= is of scoring a supernet"),
]


@pytest.mark.parametrize("arguments, line", BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_gets_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(tmp_path / "run", *arguments) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: ")
    assert "\n" not in err
    assert line in err
    assert not (tmp_path / "run").exists()


def test_limits_are_the_objectives_that_can_be_computed() -> None:
    assert read_reference("search").below("limit", None) == list(COMPUTED)


def test_the_record_counts_models_by_generation(tmp_path: Path) -> None:
    assert search(tmp_path, *TRUTH, "budget.models=40", "searcher.population=16") == 0
    assert table(tmp_path, GENERATIONS).models.tolist() == [16, 32, 40]
