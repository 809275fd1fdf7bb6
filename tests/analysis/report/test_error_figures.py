from __future__ import annotations

import pandas as pd
import pytest

from src.analysis.report.chart import Line
from src.analysis.report.error_figures import errors_figure
from src.standalone.space_study.spaces import ARMS


def drawn(errors: list[float]) -> tuple[list[Line], bool]:
    """The curves of one arm, and whether the axis of errors is logarithmic."""
    table = pd.DataFrame({"arm": ARMS[0], "space": "a", "error": errors})
    (panel,) = errors_figure({4e5: table}, ARMS).panels[0]
    assert panel is not None
    return [series for series in panel.series if isinstance(series, Line)], panel.x.log


def test_networks_without_errors_have_a_place_on_the_logarithmic_axis() -> None:
    (line,), log = drawn([0.0, 0.02, 0.04, 0.5])
    assert log and line.x == pytest.approx((1, 1, 2, 4, 50)) and line.y == (0, 0.25, 0.5, 0.75, 1)


def test_errors_of_nothing_but_zero_are_drawn_too() -> None:
    (line,), log = drawn([0.0, 0.0])
    assert not log and line.x == (0, 0, 0)


def test_errors_that_lie_close_together_have_ticks() -> None:
    table = pd.DataFrame({"arm": ARMS[0], "space": "a", "error": [0.041, 0.045]})
    (panel,) = errors_figure({4e5: table}, ARMS).panels[0]
    assert panel is not None and panel.x.ticks is not None
    assert [text for _, text in panel.x.ticks] == ["4.1", "4.5"]


def test_ticks_lie_between_the_errors() -> None:
    table = pd.DataFrame({"arm": ARMS[0], "space": "a", "error": [0.011, 0.06]})
    (panel,) = errors_figure({4e5: table}, ARMS).panels[0]
    assert panel is not None
    assert panel.x.ticks == ((1, "1"), (2, "2"), (5, "5"))
