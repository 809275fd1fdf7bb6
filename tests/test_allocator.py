"""Freed memory is kept where the C library can do that, and given back when asked."""

import sys

import pytest
import torch

from src import allocator
from src.allocator import give_back_freed_memory, keep_freed_memory


def test_both_say_whether_they_could(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform.startswith("linux"):
        assert keep_freed_memory() == give_back_freed_memory()
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not keep_freed_memory()
    assert not give_back_freed_memory()


@pytest.mark.skipif(not keep_freed_memory(), reason="not glibc")
def test_a_freed_tensor_is_taken_again() -> None:
    addresses = set()
    for _ in range(5):
        tensor = torch.ones(2**24)  # 64 MB, beyond what glibc maps anew by default
        addresses.add(tensor.data_ptr())
        del tensor
    assert len(addresses) == 1
