import inspect
import json
from pathlib import Path
from types import FunctionType, SimpleNamespace

import pytest
import torch
from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.searchers.path_costs import Additive
from src.searching.latency import COLUMNS, ModuleTimer, check_once, check_table, measure_table, onnx_call, read_table

SHORT = 1e-4
FULL = "layer,choice,operation,milliseconds\nfixed,0,fixed,1\n0,0,x,0.5\n" + "".join(
    f"{layer},{choice},x,1\n" for layer in range(5) for choice in range(3) if (layer, choice) != (0, 0)
)


def test_a_measured_table_holds_every_choice_and_is_read_back(tmp_path: Path) -> None:
    space = Mini()
    table = measure_table(space, space.reference, ModuleTimer(seconds=SHORT), tmp_path / "latency.csv")
    assert [len(layer) for layer in table.choices] == [3] * 5
    assert table.fixed > 0
    assert all(value > 0 for layer in table.choices for value in layer)
    assert read_table(space, tmp_path / "latency.csv", space.reference) == table
    with pytest.raises(UsageError, match="was measured for"):
        read_table(space, tmp_path / "latency.csv", InputSpec(1, 10, 16))
    assert (tmp_path / "latency.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert table((2,) * 5) == pytest.approx(table.fixed + sum(layer[2] for layer in table.choices))


def test_a_burst_of_load_on_the_idle_call_does_not_make_modules_free() -> None:
    timer = ModuleTimer(seconds=SHORT)
    timer.known[str(nn.Identity()), (3, 8, 8)] = 1000.0
    assert timer(nn.Conv2d(3, 8, 3), (3, 8, 8)) > 0


def test_the_idle_call_is_timed_again_for_longer_than_a_burst_of_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loaded:
        """Other work has the core for 10 ms: within that every call seems to take 1 s."""

        def __init__(self, statement: str, globals: dict[str, FunctionType], num_threads: int) -> None:
            self.idle = isinstance(inspect.getclosurevars(globals["run"]).nonlocals["module"], nn.Identity)

        def blocked_autorange(self, min_run_time: float) -> SimpleNamespace:
            return SimpleNamespace(times=[1.0] if self.idle and min_run_time < 0.01 else [0.001 if self.idle else 0.5])

    monkeypatch.setattr("torch.utils.benchmark.Timer", Loaded)
    assert ModuleTimer(seconds=SHORT)(nn.Conv2d(3, 8, 3), (3, 8, 8)) == 499


def test_cells_count_as_often_as_a_network_has_them(tmp_path: Path) -> None:
    class Constant(ModuleTimer):
        """One millisecond for every module that has weights."""

        def __call__(self, module: nn.Module, shape: tuple[int, ...]) -> float:
            return float(any(True for _ in module.parameters()))

    space = NasBench201(cells=2)
    table = measure_table(space, InputSpec(3, 10, 8), Constant(), tmp_path / "latency.csv")
    assert table.fixed == 4  # stem, two reductions, tail
    assert table.choices == ((0, 0, 6, 6, 0),) * 6  # three stages of two cells


def test_equal_modules_are_timed_once() -> None:
    timer = ModuleTimer(seconds=SHORT)
    times = [timer(nn.Conv2d(2, 2, 3), (2, 6, 6)) for _ in range(2)]
    assert times[0] == times[1]
    assert len(timer.known) == 2  # the convolution, and a call of nothing
    assert timer(nn.Identity(), (2, 6, 6)) == 0


def test_larger_work_takes_longer() -> None:
    timer = ModuleTimer(seconds=0.01)
    assert timer(nn.Conv2d(64, 64, 3), (64, 32, 32)) > 3 * timer(nn.Conv2d(4, 4, 3), (4, 8, 8))


def test_the_check_tells_how_far_sums_are_from_whole_networks() -> None:
    space = Mini()

    class Twice(ModuleTimer):
        """Whole networks take twice what the table says, which counts the choices' numbers."""

        def __call__(self, module: nn.Module, shape: tuple[int, ...]) -> float:
            return 2.0 * sum(p.numel() for p in module.parameters())

    costs = space.additive_costs(space.reference)
    choices = tuple(tuple(float(choice.params) for choice in layer) for layer in costs.choices)
    table = Additive("latency", costs.fixed.params, choices)
    found = check_table(space, space.reference, table, Twice(), [(0, 1, 2, 1, 0), (2, 2, 2, 2, 2), (0, 0, 0, 0, 0)])
    assert found["networks"] == 3
    assert found["mean_error"] == pytest.approx(-0.5)
    assert found["largest_error"] == pytest.approx(0.5)
    assert found["tau"] == pytest.approx(1)


def test_onnxruntime_computes_what_torch_does() -> None:
    module, images = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()).eval(), torch.randn(1, 2, 5, 5)
    (found,) = onnx_call(module, images, threads=1)()
    torch.testing.assert_close(torch.from_numpy(found), module(images).detach())


@pytest.mark.parametrize(
    "text, line",
    [
        (None, "no such file"),
        ("a,b\n1,2\n", "not a latency table"),
        ("layer,choice,operation,milliseconds\nfixed,0,fixed,much\n", "not a latency table"),
        ("layer,choice,operation,milliseconds\nfixed,0,fixed,1\n0,0,x,1\n", "is of another space: mini has 5 layers"),
        (FULL.replace("0.5", "nan"), "has nan milliseconds"),
        (FULL.replace("0.5", "-5"), "has -5.0 milliseconds"),
        (FULL.replace("fixed,0,fixed,1\n", ""), "one row fixed"),
    ],
)
def test_bad_tables_are_refused(text: str | None, line: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "table.csv").write_text(text)
    with pytest.raises(UsageError, match=line):
        read_table(Mini(), tmp_path / "table.csv", Mini.reference)


def test_the_check_is_made_once(tmp_path: Path) -> None:
    space = Mini()
    file = tmp_path / "latency.csv"
    table = measure_table(space, space.reference, ModuleTimer(seconds=SHORT), file)
    found = [
        check_once(space, space.reference, table, ModuleTimer(seconds=SHORT), [(0,) * 5, (2,) * 5], file) for _ in "ab"
    ]
    assert found[0] == found[1]
    assert json.loads(file.with_suffix(".json").read_text())["check"]["networks"] == 2
