"""Names of curves that a logger draws of importance.csv."""

from __future__ import annotations

from typing import Any

import pytest

from src.training.importance_writer import curve_name


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"figure": "path_smoothing", "value": 0.5}, "importance/path_smoothing"),
        ({"figure": "entropy", "layer": 0, "value": 1.0}, "importance/entropy/0"),
        (
            {"figure": "probability", "layer": 2, "choice": 1, "name": "k3_e6", "value": 0.2},
            "importance/probability/2_k3_e6",
        ),
        ({"figure": "class_share", "choice": 0, "value": 0.1}, "importance/class_share/0"),
    ],
)
def test_a_curve_is_named_by_figure_layer_and_choice(row: dict[str, Any], name: str) -> None:
    assert curve_name(row) == name
