"""The documented chain on the embedded data, line by line as the Makefile has it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from src import export, retrain, search, train
from src.runtime.launch import launch

ROOT = Path(__file__).resolve().parents[1]
MAINS = {"train": train.main, "search": search.main, "retrain": retrain.main, "export": export.main}


def chain_commands(runs: Path) -> list[tuple[str, list[str]]]:
    """(command, arguments) of `make chain`, with another folder for its runs."""
    recipe = (ROOT / "Makefile").read_text().split("\nchain:")[1].split("\n\n")[0]
    lines = re.findall(r"-m src\.(\w+) (.+)", recipe)
    return [(name, shlex.split(arguments.replace("runs/chain", str(runs)))) for name, arguments in lines]


@pytest.mark.slow
def test_the_chain_finds_a_network_that_beats_the_mean_of_the_space(tmp_path: Path) -> None:
    commands = chain_commands(tmp_path)
    assert [name for name, _ in commands] == ["train", "search", "retrain", "export"]
    for name, arguments in commands:
        extra = [] if name == "export" else ["logger=csv"]
        assert launch(name, MAINS[name], [*arguments, *extra]) == 0
    result = json.loads((tmp_path / "network" / "result.json").read_text())
    truth = pd.read_csv(ROOT / "experiments" / "ground_truth_mini" / "table.csv", dtype={"arch": str})
    known = truth.set_index("arch").accuracy
    assert (
        known[result["arch"]] > known.mean()
    )  # the middle one of the front: 0.936 against 0.922 on one thread; one run shows no more
    assert result["test_accuracy"] > known.mean()
    assert (tmp_path / "network" / "export" / "model.onnx").is_file()
    for name, arguments in commands[:3]:  # the same commands again have nothing left to do
        assert launch(name, MAINS[name], [*arguments, "logger=csv"]) == 0
