import numpy as np
import pytest

from src.analysis.concordance import concordances, untied


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 64, 201])
@pytest.mark.parametrize("values", [3, 10**6])  # with and without ties
def test_counts_are_those_over_all_pairs(n: int, values: int) -> None:
    x, y = np.random.default_rng(n).integers(values, size=(2, n))
    signs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    assert concordances(x, y).tolist() == signs.sum(axis=1).tolist()
    assert untied(x).tolist() == (x[:, None] != x).sum(axis=1).tolist()
