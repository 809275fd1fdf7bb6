"""Half the time of a refused command: its configuration composed once."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest
from hydra._internal.hydra import Hydra


@pytest.fixture(scope="module", autouse=True)
def one_composition() -> Iterator[None]:
    """Hydra composes twice, first to read `hydra.mode`; in a module that imports this, -m alone asks for a sweep."""
    with mock.patch.object(Hydra, "get_mode", return_value=None):
        yield
