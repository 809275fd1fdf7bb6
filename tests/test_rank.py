"""Ranking: a run's paths scored and judged, resumed, shared among processes; predictions made elsewhere."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from src.analysis.additive import additive_loss
from src.analysis.ranking import tau_b
from src.benchmarks.table import Table
from src.rank import main
from src.ranking.comparison import Comparison
from src.ranking.feature_maps import layer_features
from src.runtime.launch import launch
from src.runtime.run_folder import CONFIG, RESULT, SCORES
from src.runtime.stored_run import load_config
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.nas_bench_macro import NasBenchMacro
from src.supernet.evaluator import Evaluator, Score
from src.supernet.path import ArchPath
from src.train import main as train_main
from tests.test_bad_input import check_one_line

QUICK = ["images=100", "calibration_images=50", "batch_size=50", "device=cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training run, split half way."""
    folder = tmp_path_factory.mktemp("runs") / "short"
    settings = ["logger=csv", "budget.steps=40", "inter_choice=split", "ranking.paths=4", "validation.paths=2"]
    settings += ["ranking.images=100", "ranking.calibration_images=50", "ranking.batch_size=50"]
    assert launch("train", train_main, [*settings, f"hydra.run.dir={folder}"]) == 0
    return folder


def rank(*arguments: str) -> int:
    return launch("rank", main, [*arguments, "hydra.run.dir=/tmp/fairpath-unused"])


def result(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / RESULT).read_text()))


def test_untrained_networks_are_ranked_beside_the_counts(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "paths.txt").write_text("0-1-2-0-1\n1-1-2-0-1\n2-1-2-0-1\n2-2-2-0-1\n")
    some = [f"paths={tmp_path / 'paths.txt'}", "bn=recalibrate", f"out={tmp_path / 'out'}", *QUICK]
    assert rank(f"run={run}", *some, "proxies=[synflow,swap]", "proxy_images=8") == 0
    printed = capsys.readouterr().out
    assert "ms a network, initialised with seed 0, 8 images" in printed and "synflow, nothing trained" in printed
    every = result(tmp_path / "out")["ranking"]["recalibrate"]["loss"]["all"]
    assert list(every["baselines"])[-2:] == ["synflow", "swap"]
    assert list(every["beyond"]) == ["params", "macs"]
    # known ones cost nothing, one is added
    assert rank(f"run={run}", *some, "proxies=[swap,naswot]", "proxy_images=8") == 0
    printed = capsys.readouterr().out
    assert "swap:" not in printed and "naswot:" in printed
    assert rank(f"run={run}", *some, "proxies=[fisher]") == 2
    check_one_line(capsys.readouterr().err, "synflow, naswot, swap, grad_norm")
    assert rank(f"scores={tmp_path}/a.csv", "proxies=[synflow]") == 2
    check_one_line(capsys.readouterr().err, "give run=")


def test_a_run_is_scored_and_judged(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rank(f"run={run}", *QUICK, "similarity.layer=2", f"out={tmp_path}") == 0
    found, scores = result(tmp_path), pd.read_csv(tmp_path / SCORES, dtype={"arch": str})
    assert scores.groupby("bn").path.nunique().to_dict() == {"recalibrate": 243, "running": 243}
    assert found["block_evaluations"] == 2 * 363
    assert set(found["ranking"]) == {"recalibrate", "running"}
    for by_score in found["ranking"].values():
        assert list(by_score) == ["loss", "accuracy"]  # mini is ranked by loss
        assert {name: part["n"] for name, part in by_score["accuracy"].items()} == {"all": 243, "top 10 %": 25}
    everything = found["ranking"]["recalibrate"]["accuracy"]["all"]
    assert everything["baselines"]["params"]["value"] == pytest.approx(0.511, abs=0.001)
    assert found["ceiling"]["all"] == {"value": pytest.approx(0.775, abs=0.001), "kind": "run against run"}
    spread = scores[scores.bn == "running"].accuracy
    assert found["gap"]["running"]["one_shot_range"] == pytest.approx(spread.max() - spread.min())
    assert found["match"]["missing"]["count"] == 0
    assert {Path(name).name for name in found["figures"]} == {path.name for path in tmp_path.glob("*.png")}
    assert len(found["figures"]) == 8
    out = capsys.readouterr().out
    assert "100 val images" in out and "50 calibration images" in out and "gap lambda" in out


def test_it_gives_the_scores_that_training_gave(run: Path, tmp_path: Path) -> None:
    trained = pd.read_csv(run / SCORES, dtype={"arch": str})
    listed = tmp_path / "some.csv"
    trained[["arch"]].drop_duplicates().to_csv(listed, index=False)
    assert rank(f"run={run}", *QUICK, f"paths={listed}", f"out={tmp_path / 'out'}") == 0
    again = pd.read_csv(tmp_path / "out" / SCORES, dtype={"arch": str})
    keys = ["bn", "arch"]
    columns = [*keys, "accuracy", "loss", "params", "macs"]
    one, other = (table[columns].sort_values(keys).reset_index(drop=True) for table in (trained, again))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


class Killed(Exception):
    """Stands for a kill."""


def test_a_killed_ranking_goes_on(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [f"run={run}", *QUICK, "paths=20", "bn=recalibrate"]
    assert rank(*arguments, f"out={tmp_path / 'whole'}") == 0
    original = Evaluator.scores

    def dying(self: Evaluator, paths: list[ArchPath]) -> Iterator[tuple[ArchPath, Score]]:
        for i, found in enumerate(original(self, paths)):
            if i == 7:
                raise Killed
            yield found

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Evaluator, "scores", dying)
        rank(*arguments, f"out={tmp_path / 'cut'}")
    cut = tmp_path / "cut" / SCORES
    text = cut.read_text()
    assert len(text.splitlines()) == 8
    cut.write_text(text + "2-2-2-2-2,2-2-2")  # and a line half written
    assert not (tmp_path / "cut" / RESULT).exists()
    assert rank(*arguments, f"out={tmp_path / 'cut'}") == 0
    assert cut.read_text() == (tmp_path / "whole" / SCORES).read_text()
    one, other = (result(tmp_path / name)["ranking"] for name in ("whole", "cut"))
    assert one == other


def test_scores_of_other_conditions_are_not_mixed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rank(f"run={run}", *QUICK, "paths=12", "bn=running", f"out={tmp_path}") == 0
    assert rank(f"run={run}", *QUICK, "paths=15", f"out={tmp_path}") == 0  # more paths and protocols are welcome
    assert rank(f"run={run}", *QUICK, "images=99", "paths=12", f"out={tmp_path}") == 2
    assert "images=100, not 99" in capsys.readouterr().err
    # a folder from before the key was there holds scores of temperature 1
    stored = load_config(tmp_path / CONFIG, migrated=False)
    del stored["temperature"]
    OmegaConf.save(stored, tmp_path / CONFIG)
    assert rank(f"run={run}", *QUICK, "temperature=2", "paths=12", f"out={tmp_path}") == 2
    assert "temperature=1.0, not 2" in capsys.readouterr().err
    assert rank(f"run={run}", *QUICK, "paths=15", f"out={tmp_path}") == 0


@pytest.mark.slow
def test_two_processes_score_a_share_each(run: Path, tmp_path: Path) -> None:
    arguments = [f"run={run}", *QUICK, "paths=15", "bn=recalibrate"]
    assert rank(*arguments, f"out={tmp_path / 'one'}") == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "src.rank", *arguments, f"out={tmp_path / 'two'}"]
    command.append(f"hydra.run.dir={tmp_path / 'unused'}")
    processes = [
        subprocess.Popen(command, env={**os.environ, **meeting, "RANK": str(i)}, stdout=subprocess.DEVNULL)
        for i in range(2)
    ]
    assert [process.wait(timeout=600) for process in processes] == [0, 0]
    one, two = (sorted((tmp_path / name / SCORES).read_text().splitlines()) for name in ("one", "two"))
    assert two == one
    assert not list((tmp_path / "two").glob("scores.*.csv"))


@pytest.mark.parametrize(("benchmark", "count"), [("nas_bench_macro", "params"), ("nas_bench_201", "params_m")])
def test_predicting_by_parameters_is_the_parameter_baseline(
    benchmark: str, count: str, shared_data: Path, tmp_path: Path
) -> None:
    files = {"nas_bench_macro": "nas-bench-macro_cifar10.json", "nas_bench_201": "nas_bench_201.csv"}
    path = shared_data / files[benchmark]
    if benchmark == "nas_bench_macro":
        rows = [(arch, entry[count]) for arch, entry in json.loads(path.read_text()).items()][::3]
    else:
        rows = [(row["arch"], row[count]) for row in csv.DictReader(path.read_text().splitlines())][::8]
    (tmp_path / "by_params.csv").write_text(
        "arch,accuracy\n" + "".join(f'"{arch}",{number}\n' for arch, number in rows)
    )
    asked = [f"scores={tmp_path / 'by_params.csv'}", f"benchmark={benchmark}", f"benchmark.path={path}"]
    assert rank(*asked, "subsets=false", f"out={tmp_path}") == 0
    ranking = result(tmp_path)["ranking"]["as given"]["accuracy"]["all"]
    baseline = "params" if benchmark == "nas_bench_macro" else "params_by_benchmark"
    assert ranking["n"] == len(rows)
    assert ranking["tau"] == ranking["baselines"][baseline]
    assert ranking["improvement_at_10"] == ranking["baselines_at_10"][baseline]


def test_rows_that_do_not_match_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv("experiments/ground_truth_mini/table.csv", dtype={"arch": str})
    some = table[["arch", "accuracy"]].head(20)
    pd.concat([some, some.head(2)]).to_csv(tmp_path / "mine.csv", index=False)
    assert rank(f"scores={tmp_path / 'mine.csv'}", "benchmark=mini", f"out={tmp_path}") == 0
    out = capsys.readouterr().out
    assert "2 rows" in out and "repeat" in out
    assert "223 architectures of the benchmark were not scored" in out
    assert result(tmp_path)["ranking"]["as given"]["accuracy"]["all"]["tau"]["value"] == 1.0


def test_protocols_of_a_table_of_scores_are_ranked_one_by_one(run: Path, tmp_path: Path) -> None:
    scores = pd.read_csv(run / SCORES, dtype={"arch": str})
    assert rank(f"scores={run / SCORES}", "benchmark=mini", f"out={tmp_path / 'both'}") == 0
    both = result(tmp_path / "both")["ranking"]
    assert set(both) == {"recalibrate", "running"}
    for protocol, table in scores.groupby("bn"):
        table.drop(columns="bn").to_csv(tmp_path / "one.csv", index=False)
        assert rank(f"scores={tmp_path / 'one.csv'}", "benchmark=mini", f"out={tmp_path / str(protocol)}") == 0
        assert result(tmp_path / str(protocol))["ranking"]["as given"] == both[protocol]


@pytest.mark.parametrize("by", ["loss", "additive_loss", "mean_rank"])
def test_a_loss_that_is_not_a_number_leaves_the_ranking_by_accuracy(by: str, run: Path, tmp_path: Path) -> None:
    asked = [f"run={run}", "paths=30", "bn=recalibrate", *QUICK, f"by={by}", f"out={tmp_path}"]
    assert rank(*asked) == 0
    scores = pd.read_csv(tmp_path / SCORES, dtype={"arch": str, "path": str})
    scores.loc[3, "loss"] = np.nan
    scores.to_csv(tmp_path / SCORES, index=False)
    # nothing is scored again
    assert rank(*asked) == 0
    ranked = result(tmp_path)["ranking"]["recalibrate"]
    assert list(ranked) == [by, "accuracy"]
    assert ranked[by]["all"]["tau"]["value"] is None and ranked["accuracy"]["all"]["tau"]["value"] is not None


def test_a_run_and_its_table_of_scores_are_ranked_by_the_loss_as_a_sum_over_layers(run: Path, tmp_path: Path) -> None:
    some = ["paths=60", "bn=recalibrate", *QUICK, "by=additive_loss"]
    assert rank(f"run={run}", *some, f"out={tmp_path / 'run'}") == 0
    ranked = result(tmp_path / "run")["ranking"]["recalibrate"]
    assert list(ranked) == ["additive_loss", "accuracy", "loss"]
    table = pd.read_csv(tmp_path / "run" / SCORES, dtype={"arch": str, "path": str})
    alone = pd.read_csv("experiments/ground_truth_mini/table.csv", dtype={"arch": str})
    table["truth"] = table["arch"].map(alone.set_index("arch")["accuracy"])
    fit = additive_loss(table["path"].tolist(), table["loss"])
    assert ranked["additive_loss"]["all"]["tau"]["value"] == pytest.approx(tau_b(-fit, table["truth"].to_numpy()))
    # the curve is that of the score which ranks
    curve = pd.read_csv(tmp_path / "run" / "improvement.csv")
    best = table["truth"][np.argsort(fit)[:10]].mean()
    assert curve[curve["left"] == 10]["mean"].item() == pytest.approx(best, abs=1e-6)
    # the same table as scores made elsewhere: by loss, unless it is said otherwise
    mine = [f"scores={tmp_path / 'run' / SCORES}", "benchmark=mini", "recipe.rank_by=additive_loss"]
    for by, ordered in (([], "loss"), (["by=additive_loss"], "additive_loss")):
        assert rank(*mine, *by, f"out={tmp_path / ordered}") == 0
        scored = result(tmp_path / ordered)["ranking"]["recalibrate"]
        assert next(iter(scored)) == ordered
        assert scored[ordered]["all"]["tau"]["value"] == pytest.approx(ranked[ordered]["all"]["tau"]["value"])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "run=<folder"),
        (["scores=experiments/ground_truth_mini/table.csv", "benchmark.path=x"], "choose benchmark=mini|"),
        (["run=nowhere"], "no such run folder"),
        (["run=RUN", "scores=x.csv"], "one of run="),
        (["run=tests"], "config.yaml"),
        (["run=RUN", "benchmark=nas_bench_macro"], "benchmark.path"),
        (["run=RUN", "benchmark=nas_bench_macro", "benchmark.path=nowhere.json"], "no such benchmark file"),
        (["run=RUN", "benchmark=nas_bench"], "nas_bench_201"),
        (
            [
                "run=RUN",
                "benchmark=table",
                "benchmark.path=experiments/ground_truth_mini/table.csv",
                "benchmark.accuracy=top1",
            ],
            "top1",
        ),
        (["run=RUN", "bn=frozen"], "recalibrate"),
        (["run=RUN", "bn=[]"], "bn is empty"),
        (["run=RUN", "bn=5"], "one or several of running"),
        (["run=RUN", "out=README.md"], "cannot be written"),
        (["run=RUN", "paths=experiments/figures/strict_fairness.png"], "not a text file"),
        (["scores=experiments/ground_truth_mini/table.csv", "benchmark=mini", "out=RUN"], "another kind"),
        (["run=RUN", "paths=1"], "paths"),
        (["run=RUN", "paths=nowhere.csv"], "no such file"),
        (["run=RUN", "split=train"], "val, test"),
        (["run=RUN", "images=0"], "images"),
        (["run=RUN", "similarity.layer=7"], "layers 0 to 4"),
        (["run=RUN", "checkpoint=first"], "last, previous"),
        (["scores=nowhere.csv", "benchmark=mini"], "no such file"),
        (["scores=experiments/fairness_ablation/mini_equal_passes/table.csv", "benchmark=mini"], "no column"),
        (["scores=experiments/ground_truth_mini/table.csv"], "search_space="),
        (["scores=experiments/ground_truth_mini/table.csv", "search_space=mini"], "needs a benchmark"),
        (["scores=mine.csv", "images=200"], "images= is of scoring a supernet: it does not go with scores=mine.csv"),
        (["scores=mine.csv", "paths=100"], "paths= is of scoring a supernet: it does not go with scores=mine.csv"),
        (["scores=mine.csv", "bn=[batch]"], "bn= is of scoring a supernet"),
        (["scores=mine.csv", "similarity.layer=1"], "similarity.layer= is of scoring a supernet"),
        (
            ["scores=experiments/ground_truth_mini/table.csv", "benchmark=mini", "search_space=nas_bench_macro"],
            "nas_bench_macro",
        ),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], named: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rank(*[argument.replace("RUN", str(run)) for argument in arguments]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1:]
    assert len(error) == 1
    assert error[0].startswith("error: ")
    assert named in error[0]


def test_a_run_without_checkpoint_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text((run / "config.yaml").read_text())
    assert rank(f"run={tmp_path}") == 2
    assert "no checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize("other", ["search_space=nas_bench_macro", "search_space.stem=4"])
def test_another_space_than_the_runs_is_refused(other: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = ["benchmark=mini", *([] if "=nas" in other else ["search_space=mini"])]
    assert rank(f"run={run}", *benchmark, other) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "was trained on search_space=mini" in line
    assert "leave search_space out" in line


def test_the_runs_own_space_may_be_said_again(run: Path, tmp_path: Path) -> None:
    own = ["search_space=mini", "search_space.stem=8"]
    assert rank(f"run={run}", *own, *QUICK, "paths=3", "bn=running", f"out={tmp_path}") == 0


def test_an_arch_of_another_space_is_refused_by_its_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "paths.txt").write_text("0-0-0-0-0\n02012100\n")
    assert rank(f"run={run}", f"paths={tmp_path / 'paths.txt'}") == 2
    assert "paths.txt, line 2" in capsys.readouterr().err


def test_a_supernet_without_running_statistics_is_scored_by_batch_alone(capsys: pytest.CaptureFixture[str]) -> None:
    cells = ["search_space=nas_bench_201", "search_space.cells=1", "search_space.running_stats=false", "logger=csv"]
    assert launch("train", train_main, [*cells, "benchmark=none", "validation.bn=batch"]) == 2
    assert "only bn=batch" in capsys.readouterr().err


def test_features_are_those_of_each_choice() -> None:
    torch.manual_seed(0)
    net = Mini().build(1, 10, 8)
    images, path = torch.randn(4, 1, 8, 8), (1, 2, 0, 1, 2)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    features = layer_features(net, 2, images, path)
    assert features.shape == (3, 4, 12, 4, 4)
    with torch.no_grad():
        x = net.layers[1](net.layers[0](net.stem(images), 1), 2)
        for choice in range(3):
            torch.testing.assert_close(features[choice], net.layers[2](x, choice))
    state = net.state_dict()
    changed = [key for key, value in before.items() if not torch.equal(value, state[key])]
    assert all("stem" in key or ".0." in key or ".1." in key or ".2." in key for key in changed)  # by the check alone


def test_subsets_of_spaces() -> None:
    cells = NasBench201()
    found = cells.subsets(list(cells.paths()))
    assert {name: sum(mask) for name, mask in found.items()} == {
        "no none": 4096,
        "convolutions only": 64,
        "distinct cells": 4930,
    }
    assert NasBench201(subset="conv_only").subsets([(0,) * 6]) == {}
    macro = NasBenchMacro()
    counts = {name: sum(mask) for name, mask in macro.subsets(list(macro.paths())).items()}
    assert counts == {"no identity": 864, "distinct networks": 3969}


def test_only_files_of_ranks_are_gathered(run: Path, tmp_path: Path) -> None:
    asked = [f"run={run}", *QUICK, "paths=12", "bn=running", f"out={tmp_path}"]
    assert rank(*asked) == 0
    whole = (tmp_path / SCORES).read_text()
    header, first, second, *rest = whole.splitlines(keepends=True)
    (tmp_path / SCORES).write_text(header + first + "".join(rest))
    (tmp_path / "scores.3.csv").write_text(header + second + first[:20])  # a killed rank's, its last line cut
    (tmp_path / "scores.backup.csv").write_text("mine\n")
    assert rank(*asked) == 0
    assert sorted((tmp_path / SCORES).read_text().splitlines()) == sorted(whole.splitlines())
    assert (tmp_path / "scores.backup.csv").read_text() == "mine\n"
    assert not (tmp_path / "scores.3.csv").exists()


def test_scores_of_other_weights_are_not_taken_for_these(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(run, copied)
    asked = [f"run={copied}", *QUICK, "paths=5", "bn=running", f"out={tmp_path / 'out'}"]
    assert rank(*asked) == 0
    assert rank(f"run={copied}/", *asked[1:]) == 0  # the same folder, spelled otherwise
    path = copied / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["state_dict"]["net.tail.linear.bias"] += 1
    torch.save(checkpoint, path)
    assert rank(*asked) == 2
    assert "weights=" in capsys.readouterr().err


def test_the_ceiling_does_not_depend_on_spelling(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    space = NasBenchMacro()
    paths = space.sample_distinct(30, generator)
    for name, written in (("digits", "".join), ("dashes", "-".join)):
        rows = [f"{written(map(str, path))},0.5,0.{sum(path)}1,0.{sum(path)}2" for path in paths]
        (tmp_path / f"{name}.csv").write_text("arch,accuracy,r_0,r_1\n" + "\n".join(rows) + "\n")
        table = Table("t", str(tmp_path / f"{name}.csv"), run_prefix="r_")
        ceiling = Comparison(space, table, [space.format(path) for path in paths]).ceilings()["all"]
        assert ceiling is not None
        assert ceiling["value"] > 0.9


def test_predictions_without_a_finite_score_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv("experiments/ground_truth_mini/table.csv", dtype={"arch": str})
    table.loc[:1, "accuracy"] = -math.inf
    table[["arch", "accuracy"]].to_csv(tmp_path / "proxy.csv", sep=";", decimal=",", index=False)
    assert rank(f"scores={tmp_path / 'proxy.csv'}", "benchmark=mini", f"out={tmp_path / 'ranked'}") == 0
    assert "2 rows of" in (said := capsys.readouterr().out) and "no finite accuracy and are left out" in said
    stored = json.loads((tmp_path / "ranked" / "result.json").read_text())
    assert stored["not_finite"] == {"count": 2, "examples": table.arch[:2].tolist()}
    assert stored["ranking"]["as given"]["accuracy"]["all"]["tau"]["value"] == 1
