"""Counting baselines fixed before any supernet is trained: Kendall's tau over all networks of each benchmark."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from src.analysis.ranking import tau_b
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.nas_bench_macro import NasBenchMacro
from src.search_spaces.space import SearchSpace


def taus(space: SearchSpace, truth: Mapping[str, float]) -> dict[str, float]:
    """Tau of every count of the space, parameters and multiply-adds with the true accuracies by arch string."""
    paths = [space.parse(arch) for arch in truth]
    counts = pd.DataFrame([{**space.costs(path)._asdict(), **space.counts(path)} for path in paths], dtype=float)
    accuracies = pd.Series(truth).to_numpy(float)
    return {str(name): tau_b(counts[name].to_numpy(), accuracies) for name in counts}


def test_mini() -> None:
    table = pd.read_csv("experiments/ground_truth_mini/table.csv", dtype={"arch": str})
    assert taus(Mini(), dict(zip(table.arch, table.accuracy, strict=True))) == pytest.approx(
        {"params": 0.511, "macs": 0.432, "mb_blocks": 0.168, "e3_blocks": 0.553}, abs=0.0006
    )


def test_nas_bench_macro(shared_data: Path) -> None:
    stored = json.loads((shared_data / "nas-bench-macro_cifar10.json").read_text())
    reached = taus(NasBenchMacro(), {arch: entry["mean_acc"] for arch, entry in stored.items()})
    assert reached["mb_blocks"] == pytest.approx(0.693, abs=0.0005)
    assert max(reached, key=lambda name: reached[name]) == "mb_blocks"


@pytest.mark.parametrize(("data", "tau"), [("cifar10_test", 0.611), ("cifar100_test", 0.621)])
def test_nas_bench_201(data: str, tau: float, shared_data: Path) -> None:
    rows = list(csv.DictReader((shared_data / "nas_bench_201.csv").read_text().splitlines()))
    reached = taus(NasBench201(), {row["arch"]: float(row[data]) for row in rows})
    assert reached["live_convolutions"] == pytest.approx(tau, abs=0.0005)
    assert max(reached, key=lambda name: reached[name]) == "live_convolutions"
