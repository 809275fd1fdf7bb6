from pathlib import Path
from typing import Any

import pytest

from src.analysis.report.methods import all_weights, parts, weights, without_weights
from src.analysis.report.runs import find_runs
from tests.analysis.report.made_runs import make_run


def weights_of(folder: Path, **changes: Any) -> str:
    make_run(folder / "run", "spos", 0, **changes)
    return weights(find_runs(folder)[0])


@pytest.mark.parametrize(
    "changes, words",
    [
        ({}, ""),
        ({"inter_choice": "none"}, ""),
        ({"choices__inter_choice": None}, ""),
        ({"inter_choice": "bias"}, "bias D=1"),
        ({"inter_choice": "bias_3"}, "bias D=3"),
        ({"inter_choice": "shared_bias"}, "shared bias D=1"),
        ({"inter_choice": "attention", "inter_choice__depth": 2}, "attention D=2"),
        ({"inter_choice": "split"}, "split at 50 %"),
        ({"inter_choice": "split", "inter_choice__fraction": 0.575}, "split at 57.5 %"),
        ({"inter_choice": "split_70", "inter_choice__epoch": 125}, "split at epoch 125"),
        ({"choices__inter_choice": "new_kind"}, "new kind"),
    ],
)
def test_weights_are_named_by_their_values(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    assert weights_of(tmp_path, **changes) == words


def test_an_option_and_its_value_on_the_command_line_read_the_same(tmp_path: Path) -> None:
    option = weights_of(tmp_path / "a", inter_choice="bias_2")
    assert weights_of(tmp_path / "b", inter_choice="bias", inter_choice__depth=2) == option == "bias D=2"
    option = weights_of(tmp_path / "c", inter_choice="split_80")
    assert weights_of(tmp_path / "d", inter_choice="split", inter_choice__fraction=0.8) == option


def test_other_settings_are_named_where_runs_of_one_kind_differ(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0, inter_choice="bias", inter_choice__weight_decay=0.0)
    make_run(tmp_path / "b", "spos", 0, inter_choice="bias_2")
    make_run(tmp_path / "c", "spos", 0, inter_choice="split", inter_choice__predecessors="true")
    make_run(tmp_path / "d", "spos", 0)
    named = {run.name: words for run, words in all_weights(find_runs(tmp_path)).items()}
    assert named == {
        "a": "bias D=1 weight_decay=0.0",
        "b": "bias D=2 weight_decay=None",
        "c": "split at 50 %",
        "d": "",
    }


@pytest.mark.parametrize(
    "method, taken_apart",
    [
        ("spos", ("spos", "", "")),
        ("strict_fair (irregular=pad)", ("strict_fair", " (irregular=pad)", "")),
        ("spos, split at 70 %", ("spos", "", "split at 70 %")),
        ("ef (updates=3, scale_lr=True), bias D=2", ("ef", " (updates=3, scale_lr=True)", "bias D=2")),
    ],
)
def test_a_name_comes_apart(method: str, taken_apart: tuple[str, str, str]) -> None:
    assert parts(method) == taken_apart
    assert without_weights(method) == taken_apart[0] + taken_apart[1]
