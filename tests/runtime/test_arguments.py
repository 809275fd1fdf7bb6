"""Paths and names with letters that Hydra knows as syntax, as people type them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from src import describe, rank, retrain, train
from src.runtime.arguments import quoted, quoted_texts
from src.runtime.launch import launch
from src.runtime.run_folder import CONFIG
from tests.datasets.made_images import make_classes

ODD = [
    "图片",
    "a=b",
    "old (1)",
    "a,b",
    "x~y",
    "it's",
    'say "so"',
    "a#b;c&d!",
    "back\\slash\\",
    'q\\"',
    "Köln",
    "[x",
    "{y",
]


@pytest.mark.parametrize("value", ["/data/plain-1.0", "a b", "", *(f"/data/{odd}/x" for odd in ODD), *ODD[7:11]])
def test_what_is_quoted_is_what_hydra_reads(value: str) -> None:
    (override,) = OverridesParser.create().parse_overrides([f"a={quoted(value)}"])
    assert override.value() == value


CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|none~2|"
KEPT = [
    ["seed=0,1", "budget.steps=3"],  # no text
    ['dataset.root="/data/图片"', "dataset.root='a'"],  # quoted already
    ["arch=[2,0,1]", "sampler.paths=[[0,1],[1,0]]"],
    ["dataset.root=${oc.env:HOME}/图"],
    ["hydra.run.dir=runs/mine", "resume=null", "+dataset.root=plain", "-m", "run=a b/c"],
    ["-m", "run=choice(a,b)", "run=glob(*)", "arch=[0,1],[1,0]"],
]


@pytest.mark.parametrize("arguments", KEPT)
def test_what_hydra_reads_itself_is_left_to_it(arguments: list[str]) -> None:
    assert quoted_texts("retrain" if "run=" in str(arguments) else "train", arguments) == arguments


def test_texts_are_quoted_and_the_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert quoted_texts("train", ["dataset.root=~/flowers"]) == ["dataset.root=/home/me/flowers"]
    assert quoted_texts("train", ["++dataset.root=~/图"]) == ['++dataset.root="/home/me/图"']
    assert quoted_texts("retrain", [f"arch={CELL}"]) == [f'arch="{CELL}"']
    assert quoted_texts("retrain", ["-m", f"arch={CELL},0-1"]) == ["-m", f'arch="{CELL}",0-1']
    assert quoted_texts("train", ["hydra.run.dir=a,b=(c)"]) == ['hydra.run.dir="a,b=(c)"']


@pytest.mark.parametrize("odd", ["图片", "a=b,c (1) ~x", "it's"])
def test_a_run_on_odd_paths_is_trained_resumed_and_used(odd: str, tmp_path: Path) -> None:
    make_classes(tmp_path / odd / "images", 8)
    run = tmp_path / odd / "run"
    asked = [
        "dataset=image_folder",
        f"dataset.root={tmp_path / odd / 'images'}",
        f"dataset.cache={tmp_path / odd / 'c'}",
    ]
    short = [
        "batch_size=8",
        "validation.paths=2",
        "ranking.paths=2",
        "benchmark=none",
        "logger=csv",
        "dataset.name=Köln",
    ]
    assert launch("train", train.main, [*asked, *short, "budget.steps=1", f"hydra.run.dir={run}"]) == 0
    assert OmegaConf.load(run / CONFIG).dataset.root == str(tmp_path / odd / "images")
    assert launch("train", train.main, [f"resume={run}", "budget.steps=2"]) == 0
    assert launch("rank", rank.main, [f"run={run}", "paths=2", "bn=running", f"out={tmp_path / odd / 'ranked'}"]) == 0
    (tmp_path / odd / "archs, mine.txt").write_text("0-0-0-0-0\n")
    alone = [f"run={run}", f"arch={tmp_path / odd / 'archs, mine.txt'}", "budget.steps=1", "logger=csv"]
    assert launch("retrain", retrain.main, [*alone, f"hydra.run.dir={tmp_path / odd / 'alone'}"]) == 0
    assert (tmp_path / odd / "alone" / "weights.pt").exists()


def test_a_cell_needs_no_second_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("describe", describe.main, ["search_space=nas_bench_201", f"path={CELL}"]) == 0
    assert "nor_conv_3x3~0" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["seed=(", "trainer.precision=a~b", "search_space.stem=图"])
def test_other_keys_are_shown_with_quotes(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch("train", train.main, [argument]) == 2
    line = capsys.readouterr().err
    key, _, value = argument.partition("=")
    assert line.count("\n") == 1 and f"write '{key}=\"{value}\"'" in line
