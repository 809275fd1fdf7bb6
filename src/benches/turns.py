"""Ways of taking the supernet step that take turns, so that whatever else the machine does meets all of them.

B images of a mini-batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from tqdm import tqdm

from src.benches.timing import Spread, spread
from src.benches.way_process import Turn, WayProcess
from src.benches.ways import PLAIN, Case

Turns = dict[str, list[Turn | None]]
"""By way, one of each round; None from the one on in which its process died."""


def no_turns(ways: Iterable[str]) -> Turns:
    """Before the first round."""
    return {way: [] for way in ways}


def take_round(
    processes: Mapping[str, WayProcess], case: Case, steps: int, turns: Turns, bar: tqdm[Any] | None = None
) -> None:
    """Add a turn of each way; every round begins with another one. A way that died gets no further turn."""
    ways = list(processes)
    first = len(turns[ways[0]]) % len(ways)
    for way in ways[first:] + ways[:first]:
        dead = None in turns[way]
        turns[way].append(None if dead else processes[way].turn(case, steps))
        if bar is not None:
            bar.update()


def over(some: Sequence[Turn | None], others: Sequence[Turn | None]) -> Spread | None:
    """Median seconds of `some` over those of `others`, round by round; None if either died."""
    pairs = [(mine, theirs) for mine, theirs in zip(some, others, strict=True) if mine and theirs]
    if len(pairs) < len(some):
        return None
    return spread([median(mine.seconds) / median(theirs.seconds) for mine, theirs in pairs])


def way_rows(turns: Turns, batch: int, paths: int) -> list[dict[str, Any]]:
    """A row of figures for each way, of steps of so many images and paths."""
    return [_row(way, turns, batch, paths) for way in turns]


def _row(way: str, turns: Turns, batch: int, paths: int) -> dict[str, Any]:
    """`fits` is false for a way whose process was killed."""
    mine = turns[way]
    if None in mine:
        return {"way": way, "fits": False, "ratio": None}
    # ratios are of turns of one round, so that slow minutes fall on both
    seconds = spread([value for turn in mine if turn for value in turn.seconds])
    ratio = over(turns[PLAIN], mine)
    return {
        "way": way,
        "fits": True,
        "seconds": seconds._asdict(),
        "first_step_seconds": next(turn.warm_up for turn in mine if turn),
        "ratio": ratio and ratio._asdict(),
        "peak_bytes": max(turn.peak_bytes for turn in mine if turn),
        "images_per_second": batch / seconds.median,
        "path_images_per_second": batch * paths / seconds.median,
    }


def best_ratio(rows: Sequence[Mapping[str, Any]]) -> float:
    """The ratio of the fastest way that ran; 0 if none did, or the plain loop did not."""
    return max((row["ratio"]["median"] for row in rows if row["way"] != PLAIN and row["ratio"]), default=0.0)


def with_quartiles(figures: Mapping[str, float]) -> str:
    """`1.81 (1.74–1.83)`."""
    return f"{figures['median']:.2f} ({figures['low']:.2f}–{figures['high']:.2f})"
