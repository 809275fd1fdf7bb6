"""Freed memory is kept where the C library can do that, and given back when asked."""

import resource
import sys

import pytest
import torch

from src.runtime import cpu_memory as allocator
from src.runtime.cpu_memory import give_back_freed_memory, keep_freed_memory


def test_both_say_whether_they_could(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform.startswith("linux"):
        assert keep_freed_memory() == give_back_freed_memory()
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not keep_freed_memory()
    assert not give_back_freed_memory()


@pytest.mark.skipif(not keep_freed_memory(), reason="not glibc")
def test_freed_memory_is_taken_again() -> None:
    """Without it glibc maps 64 MB anew each time: up to 16,384 page faults."""
    faults = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(faults) < 16
