"""step=auto: what a window saves is measured, and held against the free memory."""

from __future__ import annotations

import pytest
import torch

from src.search_spaces.mini import Mini
from src.training import window_memory
from src.training.window_memory import fitting_way, free_bytes, saved_bytes

SPACE = Mini()
ROUTES = [(c,) * 5 for c in range(3)]
CPU = torch.device("cpu")


def test_saved_bytes_grow_with_images_and_routes_and_leave_the_net_alone() -> None:
    net = SPACE.build(1, 10, 8)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    few, more = (saved_bytes(net, torch.zeros(count, 1, 8, 8), ROUTES) for count in (10, 40))
    assert 3.5 < more / few <= 4
    assert saved_bytes(net, torch.zeros(10, 1, 8, 8), ROUTES[:1]) < few
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize(("free", "way"), [(10**9, "window"), (10**5, "serial"), (None, "serial")])
def test_a_window_is_taken_where_it_fits(free: int | None, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_memory, "free_bytes", lambda device: free)
    found = fitting_way(SPACE.build(1, 10, 8), SPACE.sizes, torch.zeros(2, 1, 8, 8), 64, torch.device("cuda"))
    assert found == way


def test_on_a_cpu_the_window_gains_nothing() -> None:
    assert fitting_way(SPACE.build(1, 10, 8), SPACE.sizes, torch.zeros(2, 1, 8, 8), 64, CPU) == "serial"


def test_free_memory_is_what_the_system_says() -> None:
    free = free_bytes(CPU)
    assert free is None or 10**7 < free < 10**14
