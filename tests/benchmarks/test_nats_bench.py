"""NATS-Bench's files: every run read back, in the package's own layout."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from src.benchmarks.nats_bench import NatsBench
from src.ranking.ceiling import noise_ceiling
from src.runtime.errors import UsageError
from src.search_spaces.nas_bench_201 import NasBench201
from tests.benchmarks.nats_files import Trainings, write_nats

ARCHS = [NasBench201().format(path) for path in ((3, 3, 3, 3, 3, 3), (1, 0, 2, 4, 3, 0), (0, 0, 0, 0, 0, 1))]


def trainings(test: list[float], validation: list[float]) -> Trainings:
    """CIFAR-100 and ImageNet are 20 and 40 below CIFAR-10; other sets hold what must not be read."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for seed, accuracy in zip((777, 888, 999), validation, strict=False):
        found["cifar10-valid", seed] = {"x-valid": accuracy, "ori-test": 3.0}
    for seed, accuracy in zip((888, 777, 999), test, strict=False):
        found["cifar10", seed] = {"ori-test": accuracy}
        for data, below in (("cifar100", 20), ("ImageNet16-120", 40)):
            found[data, seed] = {"ori-test": 4.0, "x-valid": accuracy - below - 5, "x-test": accuracy - below}
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    networks = {
        ARCHS[0]: (1.531546, trainings([94.0, 93.0, 95.0], [91.0, 92.0])),
        ARCHS[1]: (0.4, trainings([88.0, 87.0], [85.0, 84.0, 86.0])),
        ARCHS[2]: (0.073306, trainings([60.0], [61.0])),
    }
    return write_nats(tmp_path_factory.mktemp("nats") / "NATS-tss-v1_0-3ffb9-simple", networks)


def test_every_run_of_200_epochs_is_read(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = instantiate(OmegaConf.load("conf/benchmark/nats_bench.yaml"), path=folder)
    runs = [sorted(run) for run in benchmark.runs().values()]
    assert runs == [pytest.approx([0.93, 0.94, 0.95]), pytest.approx([0.87, 0.88]), pytest.approx([0.6])]
    assert benchmark.accuracies() == pytest.approx(dict(zip(ARCHS, (0.94, 0.875, 0.6), strict=True)))
    assert benchmark.validation() == pytest.approx(dict(zip(ARCHS, (0.915, 0.85, 0.61), strict=True)))
    assert benchmark.params() == pytest.approx(dict(zip(ARCHS, (1_531_546, 400_000, 73_306), strict=True)))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("data", "below"), [("cifar100", 0.20), ("ImageNet16-120", 0.40)])
def test_other_data_sets_have_test_and_validation_apart(data: str, below: float, folder: str) -> None:
    benchmark = NatsBench(folder, data)
    assert list(benchmark.accuracies().values()) == pytest.approx([v - below for v in (0.94, 0.875, 0.6)])
    assert list(benchmark.validation().values()) == pytest.approx([v - below - 0.05 for v in (0.94, 0.875, 0.6)])


def test_the_ceiling_takes_networks_of_two_runs_and_more(folder: str) -> None:
    ceiling = noise_ceiling(NatsBench(folder), ARCHS)
    assert ceiling == (1.0, "run against run")
    alone = noise_ceiling(NatsBench(folder), [ARCHS[0], ARCHS[2]])
    assert alone == (1.0, "validation against test")


def test_other_data_sets_and_folders_are_refused(folder: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"benchmark\.data.*cifar10, cifar100, ImageNet16-120"):
        NatsBench(folder, "digits")
    with pytest.raises(UsageError, match=r"benchmark\.path=nowhere.*meta"):
        NatsBench("nowhere")
    (tmp_path / "meta.pickle.pbz2").write_bytes(b"no archive")
    with pytest.raises(UsageError, match="cannot be read") as error:
        NatsBench(str(tmp_path)).accuracies()
    assert len(str(error.value).splitlines()) == 1


def test_a_folder_that_lacks_a_network_is_refused(tmp_path: Path) -> None:
    path = write_nats(tmp_path / "nats", {arch: (0.1, trainings([60.0], [61.0])) for arch in ARCHS})
    (tmp_path / "nats" / "000001.pickle.pbz2").unlink()
    with pytest.raises(UsageError, match=r"cannot be read.*000001|cannot be read.*1\.pickle"):
        NatsBench(path).runs()


def test_without_the_package_one_line_says_how_to_get_it(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nats_bench", None)
    with pytest.raises(UsageError, match="pip install nats_bench"):
        NatsBench(folder)
