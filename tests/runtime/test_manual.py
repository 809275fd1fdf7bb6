"""`--help` names every key and the groups of that command alone, at once and within the width of a terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from src.runtime.config_reference import CONF, groups_of, read_file, read_reference
from src.runtime.errors import UsageError
from src.runtime.launch import launch
from src.runtime.manual import manual

COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
ROOT = CONF.parent


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_of_the_command_is_named(command: str) -> None:
    text = manual(command)
    for entry in read_file(CONF / f"{command}.yaml").entries.values():
        if entry.spec:
            assert f" {entry.key}=" in text
            assert f"[{entry.spec.text}]" in text
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_groups_of_that_command_alone(command: str) -> None:
    section = manual(command).partition("Groups:")[2].partition("\nKeys:")[0]
    shown = re.findall(r"^  (\w+)=\S+$", section, re.MULTILINE)
    assert shown == groups_of(read_file(CONF / f"{command}.yaml"))


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_the_readme_stand_in_the_manual(command: str) -> None:
    text = " ".join(manual(command).split())
    section = (ROOT / "README.md").read_text().split("## Use")[1].split("\n## ")[0]
    lines = re.findall(rf"^    (python -m src\.{command}\b[^#\n]*)", section, re.MULTILINE)
    assert [line for line in lines if " ".join(line.split()) not in text] == []


def test_keys_of_the_chosen_options() -> None:
    assert "sampler.irregular=deck" in manual("train")
    assert "sampler.irregular" not in manual("train", ["sampler=spos"])
    assert "sampler.updates=1" in manual("train", ["sampler=spos"])
    assert "searcher" not in manual("train")
    assert "recipe.lr=0.256" in manual("retrain", ["recipe=mnasnet"])
    assert "seed=7 " in manual("train", ["seed=7"])
    assert "optimizer.lr=0.2 " in manual("train", ["recipe.lr=0.2"])
    assert "study.count=8" in manual("retrain", ["experiment=standalone_ranking"])
    assert "search_space.cells=2" in manual("train", ["experiment=inter_choice_201"])
    assert "inter_choice.fraction=0.7" in manual("train", ["inter_choice=split_70"])


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="strict_fair"):
        manual("train", ["sampler=strictfair"])
    assert launch("train", lambda cfg, folder: None, ["--help", "sampler=strictfair"]) == 2
    assert capsys.readouterr().err.startswith("error: unknown sampler")


def test_experiments_of_that_command_alone() -> None:
    assert "search_comparison" not in manual("train")
    assert "standalone_ranking" not in manual("search").partition("Groups")[2]
    assert not any(key == "budget.backward_passes" for _, key in read_reference("retrain").entries)


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_heavy_is_imported(command: str) -> None:
    code = (
        f"import sys; from src.{command} import main; from src.runtime.launch import launch; "
        f"code = launch('{command}', main, ['-h']); "
        "print([name for name in ('torch', 'hydra', 'numpy', 'pandas') if name in sys.modules], file=sys.stderr); "
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    assert done.stdout.startswith(f"usage: python -m src.{command} ")


def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "src.train", "--help"]
    done = subprocess.run(command, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
