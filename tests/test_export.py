"""The command: a supernet's path, a retrained or a fresh network into files that agree with it; and what it refuses."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from src.export import main
from src.runtime.launch import launch
from src.runtime.run_folder import CONFIG, RESULT
from src.search_spaces.mini import Mini
from src.standalone.exporting import module as module_format
from src.standalone.exporting.module import import_model
from src.standalone.network import Network
from src.supernet.evaluator import Evaluator, ScoringSettings
from src.train import main as train_main
from src.training.trained_supernet import load_trained_supernet
from tests.test_bad_input import check_one_line

CPU = torch.device("cpu")
PATH = (2, 0, 2, 1, 1)
MODULE = ["formats=module", "calibration_images=200", "batch_size=100"]


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training run."""
    folder = tmp_path_factory.mktemp("runs") / "supernet"
    settings = ["logger=csv", "budget.steps=30", "ranking.paths=2", "validation.paths=2", "journal.validations=1"]
    settings += ["ranking.images=50", "ranking.calibration_images=50", "ranking.batch_size=50"]
    assert launch("train", train_main, [*settings, f"hydra.run.dir={folder}"]) == 0
    return folder


@pytest.fixture
def retrained(supernet: Path, tmp_path: Path) -> Path:
    """A run folder as src.retrain leaves it: the files and keys that other commands rely on."""
    folder, space = tmp_path / "retrained", Mini()
    folder.mkdir()
    cfg = OmegaConf.load(supernet / CONFIG)
    stored = {"search_space": cfg.search_space, "dataset": cfg.dataset, "choices": {"recipe": "as_supernet"}}
    (folder / CONFIG).write_text(OmegaConf.to_yaml(OmegaConf.create(stored)))
    torch.manual_seed(3)
    torch.save(space.build_path(PATH, 1, 10, 8).state_dict(), folder / "weights.pt")
    result = {"command": "retrain", "arch": "2-0-2-1-1", "path": "2-0-2-1-1", "mean": [0.3], "std": [0.4]}
    result["input"] = {"in_channels": 1, "num_classes": 10, "image_size": 8}  # type: ignore[assignment]
    result["classes"] = [str(digit) for digit in range(10)]
    (folder / RESULT).write_text(json.dumps(result))
    return folder


def export(*arguments: str) -> int:
    return launch("export", main, [*arguments, "hydra.run.dir=/tmp/fairpath-unused"])


def exported(folder: Path) -> Any:
    return import_model(folder / "model.py").load()


def result_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / RESULT).read_text()))


@pytest.mark.parametrize("bn", ["recalibrate", "running"])
@torch.no_grad()
def test_a_path_of_a_supernet_scores_as_it_does_there(supernet: Path, tmp_path: Path, bn: str) -> None:
    assert export(f"run={supernet}", "arch=2-0-2-1-1", *MODULE, f"bn={bn}", f"out={tmp_path / 'out'}") == 0
    trained = load_trained_supernet(str(supernet), CPU)
    evaluator = Evaluator(
        trained.net, trained.dataset, CPU, bn, ScoringSettings(calibration_images=200, batch_size=100)
    )
    net = exported(tmp_path / "out")
    (score,) = (score for _, score in evaluator.scores([PATH]))
    losses = [
        torch.nn.functional.cross_entropy(net(batch.images), batch.labels, reduction="sum").item()
        for batch in evaluator.batches
    ]
    assert sum(losses) / evaluator.images == pytest.approx(score.loss, rel=1e-5)


def test_everything_at_once(
    supernet: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("src.standalone.exporting.speed.SECONDS", 0.01)
    assert export(f"run={supernet}", "arch=2-0-2-1-1", "normalise=true", "time=true") == 0
    folder = supernet / "export"
    assert {path.name for path in folder.iterdir()} - {".lock"} == {
        *("README.md", "model.py", "weights.pt", "model.safetensors", "model.onnx", "meta.json", RESULT)
    }
    result, meta = result_of(folder), json.loads((folder / "meta.json").read_text())
    assert result.items() >= meta.items()
    assert (meta["params"], meta["macs"]) == Mini().costs(PATH)
    assert meta["classes"] == [str(digit) for digit in range(10)] and len(meta["mean"]) == len(meta["std"]) == 1
    assert meta["onnx_reads"] == "uint8 pixels" and meta["weights"].endswith("after 30 steps, BN recalibrate")
    for kind in ("random", "held-out"):
        differences = result["differences"][kind]
        assert differences["module"] == 0 and 0 < differences["onnx"] < 1e-4 < differences["largest logit"]
    assert result["files"] == {name: (folder / name).stat().st_size for name in result["files"]}
    assert result["speed"]["ratio"] == pytest.approx(result["speed"]["torch_ms"] / result["speed"]["onnxruntime_ms"])
    shown, notes = capsys.readouterr()
    assert "2,346" in shown and "torch against onnxruntime" in shown and str(folder) in shown
    assert notes == ""  # nothing of the exporter's chatter


@torch.no_grad()
def test_a_retrained_network(retrained: Path) -> None:
    assert export(f"run={retrained}", *MODULE) == 0
    net, alone = exported(retrained / "export"), Mini().build_path(PATH, 1, 10, 8).eval()
    alone.load_state_dict(torch.load(retrained / "weights.pt", weights_only=True))
    images = torch.randn(5, 1, 8, 8)
    assert torch.equal(net(images), alone(images))
    result = result_of(retrained / "export")
    assert (result["mean"], result["std"], result["name"]) == ([0.3], [0.4], "mini_20211")
    assert set(result["differences"]) == {"random", "held-out"}


def test_a_retrained_network_whose_data_have_moved(retrained: Path) -> None:
    cfg = OmegaConf.load(retrained / CONFIG)
    cfg.dataset = {"_target_": "src.datasets.image_folder.image_folder", "root": "nowhere"}
    OmegaConf.save(cfg, retrained / CONFIG)
    assert export(f"run={retrained}", *MODULE) == 0
    assert set(result_of(retrained / "export")["differences"]) == {"random"}


def test_fresh_networks_depend_on_the_seed_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = ["search_space=mini", "arch=2-0-2-1-1", "image_size=12", "num_classes=4", f"seed={seed}"]
        assert launch("export", main, [*arguments, *MODULE, f"hydra.run.dir={tmp_path / name}"]) == 0
        states.append(torch.load(tmp_path / name / "weights.pt", weights_only=True))
    same = [all(torch.equal(states[0][key], other[key]) for key in states[0]) for other in states]
    assert same == [True, True, False]
    assert states[0]["classifier.weight"].shape == (4, 12)
    assert "freshly initialised, seed 2" in capsys.readouterr().out
    assert json.loads((tmp_path / "c" / "meta.json").read_text())["mean"] is None


def test_an_architecture_out_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    front = tmp_path / "front.csv"
    with front.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([["arch", "accuracy"], ["0-0-0-0-0", 0.5], ["2-0-2-1-1", 0.9]])
    arguments = ["search_space=mini", f"arch={front}", "pick=1", "name=mine"]
    assert export(*arguments, *MODULE, f"out={tmp_path / 'out'}") == 0
    assert (result_of(tmp_path / "out")["path"], result_of(tmp_path / "out")["name"]) == ("2-0-2-1-1", "mine")
    capsys.readouterr()
    assert export("search_space=mini", f"arch={front}", *MODULE, f"out={tmp_path / 'unpicked'}") == 2
    check_one_line(capsys.readouterr().err, "front.csv lists 2, counted from 0, so use 0 to 1")


FRESH = ["search_space=mini", "arch=2-0-2-1-1", *MODULE]


def test_again_it_writes_the_same_and_touches_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export(*FRESH, f"out={out}") == 0
    before = {name: (out / name).read_bytes() for name in ("model.py", "weights.pt", "meta.json")}
    (out / "notes.txt").write_text("mine")
    (out / "model.onnx").write_text("of an export before")
    assert export(*FRESH, f"out={out}") == 0
    assert {name: (out / name).read_bytes() for name in before} == before
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "model.onnx").exists()  # it was of another network, for all one knows


class Killed(Exception):
    """Stands for a kill."""


def test_a_killed_export_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, original, moved = tmp_path / "out", Path.replace, []

    def dying(self: Path, target: Path) -> Path:
        if self.parent.name == ".making" and self.suffix != ".tmp":
            moved.append(self.name)
            if len(moved) == 3:
                raise Killed
        return original(self, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "replace", dying)
        export(*FRESH, f"out={out}")
    assert (out / moved[0]).exists() and not (out / RESULT).exists()
    assert export(*FRESH, f"out={out}") == 0
    assert result_of(out)["files"].keys() == {"README.md", "model.py", "weights.pt", "model.safetensors", "meta.json"}
    assert not (out / ".making").exists()


@pytest.mark.parametrize("offset", [2e-4, float("nan")])
def test_files_that_differ_are_not_left_behind(
    offset: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reader(folder: Path, network: Network, normalise: bool) -> Callable[[Tensor], Tensor]:
        return lambda images: network.net(images) + offset

    assert export(*FRESH, f"out={tmp_path / 'out'}") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    monkeypatch.setattr(module_format, "reader", reader)
    assert export(*FRESH, "seed=1", f"out={tmp_path / 'out'}") == 1
    check_one_line(capsys.readouterr().err, "module: outputs on random images differ by")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


REFUSED = [
    # (arguments, what the line must name)
    ([], "run=<run folder>"),
    (["search_space=mini"], "arch="),
    (["arch=2-0-2-1-1"], "search_space=<name>"),
    (["run={supernet}"], "arch="),
    (["run={supernet}", "arch=fairnas_a"], "2-0-2"),
    (["run={supernet}", "arch=2-0-2"], "mini has 5 layers"),
    (["search_space=mobilenet_b", "arch=fairnas_d"], "fairnas_a, fairnas_b, fairnas_c"),
    (["run={supernet}", "arch=nowhere.csv"], "nowhere.csv"),
    (["run={supernet}", "arch=2-0-2-1-1", "pick=1"], "pick"),
    (["run={supernet}", "arch=2-0-2-1-1", "search_space=mini"], "leave it out"),
    (["run={supernet}", "arch=2-0-2-1-1", "image_size=16"], "leave it out"),
    (["run={retrained}", "arch=2-0-2-1-1"], "leave arch out"),
    (["run=nowhere"], "no such run folder"),
    (["run={empty}"], "config.yaml"),
    (["run={unfinished}"], "python -m src.retrain resume="),
    (["run={other}"], "src.train or src.retrain"),
    (["run={weightless}"], "weights.pt"),
    (["run={damaged}"], "damaged"),
    (["run={exchanged}"], "of another network"),
    ([*FRESH, "formats=[module,coreml]"], "module, onnx"),
    ([*FRESH, "formats=[]"], "module, onnx"),
    ([*FRESH, "time=true"], "formats=[module,onnx]"),
    ([*FRESH, "normalise=true"], "run="),
    ([*FRESH, "normalise=maybe"], "true or false"),
    ([*FRESH, "name=my-net"], "small letter"),
    ([*FRESH, "name=load"], "load"),
    ([*FRESH, "bn=batch"], "recalibrate, running"),
    ([*FRESH, "images=0"], "at least 1"),
    ([*FRESH, "seed=-1"], "from 0"),
    ([*FRESH, "image_size=1"], "image_size"),
    ([*FRESH, "out={empty}/not/there"], "no folder"),
    ([*FRESH, "out={file}/out"], "no folder"),
    ([*FRESH, "out={file}"], "cannot be written"),
    ([*FRESH, "out={retrained}"], "no export wrote"),
    (["run={retrained}", *MODULE, "out={own}"], "model.py that no export wrote"),
    ([*FRESH, "format=module"], "formats"),
]


@pytest.fixture
def places(supernet: Path, retrained: Path, tmp_path: Path) -> dict[str, Path]:
    """Run folders and others, with something wrong in each."""
    folders = {"supernet": supernet, "retrained": retrained}
    for name in ("unfinished", "weightless", "damaged", "exchanged", "other"):
        folders[name] = shutil.copytree(retrained, tmp_path / name)
    (folders["unfinished"] / RESULT).unlink()
    (folders["weightless"] / "weights.pt").unlink()
    (folders["damaged"] / "weights.pt").write_bytes(b"PK")
    torch.save(Mini().build_path((0, 0, 0, 0, 0), 1, 10, 8).state_dict(), folders["exchanged"] / "weights.pt")
    (folders["other"] / CONFIG).write_text("seeds: 16\n")
    for name in ("empty", "own"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
    (folders["own"] / "model.py").write_text("mine")
    folders["file"] = tmp_path / "file"
    folders["file"].write_text("")
    return folders


@pytest.mark.parametrize(("arguments", "names"), REFUSED, ids=[" ".join(arguments[-2:]) for arguments, _ in REFUSED])
def test_it_refuses(
    arguments: list[str],
    names: str,
    places: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    folder = tmp_path / "run"
    resolved = [argument.format(**places) for argument in arguments]
    assert launch("export", main, [*resolved, f"hydra.run.dir={folder}"]) == 2
    check_one_line(capsys.readouterr().err, names)
    assert not folder.exists()
    assert (places["own"] / "model.py").read_text() == "mine"


def test_missing_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "src.standalone.exporting.config_checks.find_spec",
        lambda name: None if name in ("onnx", "onnxruntime") else real(name),
    )
    assert export("search_space=mini", "arch=2-0-2-1-1", f"out={tmp_path / 'out'}") == 2
    check_one_line(capsys.readouterr().err, "pip install onnx onnxruntime")
    assert not (tmp_path / "out").exists()
    assert export(*FRESH, f"out={tmp_path / 'out'}") == 0


def test_weights_between_the_choices_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "biased"
    settings = ["logger=csv", "budget.steps=2", "ranking.paths=2", "ranking.images=20", "validation.paths=2"]
    settings += ["inter_choice=bias", "ranking.calibration_images=20", "journal.validations=1", "ranking.bn=running"]
    assert launch("train", train_main, [*settings, f"hydra.run.dir={folder}"]) == 0
    capsys.readouterr()
    assert export(f"run={folder}", "arch=2-0-2-1-1", *MODULE) == 2
    check_one_line(capsys.readouterr().err, "inter_choice=none or split")
