from collections.abc import Iterator

import pytest

from tests.conftest import drawing


@pytest.fixture(scope="module", autouse=True)
def _real_pictures() -> Iterator[None]:
    with drawing():
        yield
