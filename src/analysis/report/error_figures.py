"""Error distributions of networks drawn from spaces (EDFs, as in Radosavovic et al. 2019, On Network Design Spaces)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from src.analysis.report.chart import Axis, Chart, Line, Panel, floats

ERRORS_READING = (
    "Share of the networks of a space whose test error, trained alone, lies below x: a curve further left is a better "
    "space. All networks lie within a tenth of the target, but for those of the arm `any cost`. Thin lines are single "
    "spaces, thick ones all networks of an arm together. The axis is logarithmic, for a few networks learn little; one "
    "without errors stands at half the smallest error of the others."
)
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9")


def errors_figure(networks: Mapping[float, pd.DataFrame], arms: Sequence[str]) -> Chart:
    """A panel for each target; tables have the columns arm, space, error of networks."""
    panels: list[Panel] = []
    for target, table in networks.items():
        # a logarithm needs a place for networks without errors
        positive = table["error"][table["error"] > 0]
        table = table.assign(error=table["error"].clip(lower=positive.min() / 2)) if len(positive) else table
        lines = []
        for arm, colour in zip(arms, PALETTE, strict=True):
            # single spaces are thin, and only where an arm has several
            own = table[table["arm"] == arm]
            spaces = [errors for _, errors in own.groupby("space")["error"]]
            lines += [_steps(errors, colour, "", 0.5) for errors in spaces if len(spaces) > 1]
            lines += [_steps(own["error"], colour, arm, 2.2)] if len(own) else []
        panels.append(
            Panel(
                tuple(lines),
                _error_axis(100 * positive),
                Axis("" if panels else "share of networks", (0, 1)),
                _title(target),
            )
        )
    return Chart(
        "Error distributions of spaces", ERRORS_READING, (tuple(panels),), size=(4.2 * len(panels), 3.8), share_y=True
    )


def _steps(errors: pd.Series, colour: str, name: str, width: float) -> Line:
    """The distribution function of errors as steps."""
    values = np.sort(errors.to_numpy(float))
    # from 0 at the smallest error
    shares = np.arange(1, len(values) + 1) / len(values)
    x, y = floats(np.concatenate([values[:1], values]), 100), floats(np.concatenate([[0.0], shares]))
    return Line(x=x, y=y, colour=colour, name=name, group=name, width=width, steps=True)


def _error_axis(positive: pd.Series) -> Axis:
    """Logarithmic, with plain numbers between the smallest and the largest error, in percent; linear without errors."""
    if positive.empty:
        return Axis("test error, %")
    ticks = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
    between = tuple((tick, f"{tick:g}") for tick in ticks if positive.min() / 2 <= tick <= positive.max())
    if len(between) < 2:  # errors that lie close together
        between = tuple((end, f"{end:.2g}") for end in (float(positive.min()), float(positive.max())))
    return Axis("test error, %", log=True, ticks=between)


def _title(target: float) -> str:
    """`0.4 M`, or `3.2 G`."""
    return f"{target / 1e9:.3g} G" if target >= 1e8 else f"{target / 1e6:.3g} M"
