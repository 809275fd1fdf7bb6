"""Freed memory is kept where the C library can do that, and given back when asked."""

import subprocess
import sys
from pathlib import Path

import pytest

from src.runtime import cpu_memory as allocator
from src.runtime.cpu_memory import give_back_freed_memory, glibc, keep_freed_memory

ROOT = Path(__file__).resolve().parents[2]


def test_both_say_whether_they_could(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform.startswith("linux"):
        assert keep_freed_memory() == give_back_freed_memory()
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not keep_freed_memory()
    assert not give_back_freed_memory()


PROGRAM = """
import ctypes, resource, sys
from src.runtime.cpu_memory import glibc, keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
libc = glibc()
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    memory = libc.malloc(2**26)
    ctypes.memset(memory, 1, 2**26)
    libc.free(memory)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(glibc() is None, reason="not glibc")
@pytest.mark.parametrize(("argument", "is_kept"), [("keep", True), ("default", False)])
def test_freed_memory_is_taken_again(argument: str, is_kept: bool) -> None:
    """Without it glibc maps 64 MB anew each time: up to 16,384 page faults.

    In a process of its own: what ran before in this one may have left its heap in pieces.
    """
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, argument], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (int(done.stdout) < 16) == is_kept
