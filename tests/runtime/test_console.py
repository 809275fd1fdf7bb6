"""The programs that `pip install -e .` brings: fairpath-train and the others."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.test_bad_input import check_one_line
from tests.test_house import COMMANDS

ROOT, BIN = Path(__file__).parents[2], Path(sys.executable).parent
installed = pytest.mark.skipif(not (BIN / "fairpath-train").exists(), reason="not installed by pip install -e .")


def program(folder: Path, name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / f"fairpath-{name}"), *arguments]
    return subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True)


def test_there_is_one_for_each_command() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {name.removeprefix("fairpath-").replace("-", "_") for name in scripts} == COMMANDS
    assert set(scripts.values()) == {"fairpath:main"}


@installed
def test_it_runs_the_checkout_from_anywhere_and_leaves_no_package_src(tmp_path: Path) -> None:
    done = program(tmp_path, "describe", "search_space=mini")
    assert done.returncode == 0 and "mini: 3^5 = 243 architectures" in done.stdout
    assert list((tmp_path / "runs" / "describe").iterdir())
    refused = program(tmp_path, "describe", "search_space=nowhere")
    assert refused.returncode == 2
    check_one_line(refused.stderr, "mobilenet_b")
    alone = subprocess.run([sys.executable, "-c", "import src"], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'src'" in alone.stderr


@installed
def test_the_shell_completes_it(tmp_path: Path) -> None:
    install = program(tmp_path, "train", "-sc", "install=bash")
    assert install.stdout.rstrip().endswith("fairpath-train")
    line = "fairpath-train sampler=str"
    query = program(tmp_path, "train", "-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)), COMP_CWORD="1")
    assert query.stdout.split() == ["sampler=strict_fair"]
