"""Windows and macOS, faked where they differ from Linux: none of this was run there."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.benches import way_process
from src.runtime.cpu_memory import give_back_freed_memory, glibc, keep_freed_memory
from src.runtime.errors import UsageError
from src.runtime.processes import cores
from src.runtime.run_folder import claim

SRC = Path(__file__).resolve().parents[2] / "src"
UNIX = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}
"""Modules that Windows has not."""


def test_no_module_needs_unix_to_be_imported() -> None:
    needed = []
    for file in sorted(SRC.rglob("*.py")):
        for node in ast.parse(file.read_text()).body:  # of the module itself, not of a function that is guarded
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            needed += [f"{file.relative_to(SRC)}: {name}" for name in names if name.split(".")[0] in UNIX]
    assert not needed


def test_cores_where_no_affinity_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_another_allocator_is_left_alone(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("ctypes.CDLL", lambda _: pytest.fail("a C library was opened"))
    assert glibc() is None
    assert not keep_freed_memory() and not give_back_freed_memory()


def test_peak_memory_is_in_bytes_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    cpu = torch.device("cpu")
    linux = way_process._held(cpu)
    assert 10**7 < linux < 10**12
    monkeypatch.setattr(sys, "platform", "darwin")
    assert way_process._held(cpu) == pytest.approx(linux / 1024, rel=0.2)
    monkeypatch.setattr(sys, "platform", "win32")
    assert way_process._held(cpu) == 0


def test_a_folder_is_held_by_one_process_until_that_ends(tmp_path: Path) -> None:
    """The other one is killed: the system gives the lock back."""
    code = "import sys, time; from pathlib import Path; from src.runtime.run_folder import claim\n"
    code += "held = claim(Path(sys.argv[1])); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=SRC.parent, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"1\n"
        with pytest.raises(UsageError, match="in use by another process"):
            claim(tmp_path)
        other.kill()
    with claim(tmp_path), pytest.raises(UsageError, match="in use by another process"):
        claim(tmp_path)
    claim(tmp_path).close()
