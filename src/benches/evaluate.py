"""bench=evaluate: scoring many paths that share prefixes, against scoring one path at a time.

The plain way is timed on some of the paths, in groups between slices of the shared walk, so that whatever else the
machine does meets both. It keeps and restores the statistics of the whole supernet for each path, as Evaluator.score
does: 3 ms of some 300 on NAS-Bench-Macro, but most of the time where images are few and small.

L layers, m choices of a layer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import torch
from rich.table import Table

from src.benches.build import EvaluateSettings
from src.benches.timing import Measured, clock, noise, plain_table, spread
from src.datasets.input_spec import InputSpec
from src.runtime.progress import progress
from src.search_spaces.costs import measure
from src.search_spaces.space import SearchSpace, SequentialSpace
from src.supernet.evaluator import Evaluator, Score, ScoringSettings
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet

GROUPS = 10
"""Slices of the shared walk, each followed by a group of plain paths."""


class Work(NamedTuple):
    """Multiply-adds for one image."""

    plain: int
    shared: int

    @property
    def bound(self) -> float:
        """The ratio of times, were they those of multiply-adds alone."""
        return self.plain / self.shared


class Times(NamedTuple):
    """Seconds of both sides, and the scores."""

    shared: list[float]
    """Seconds of each slice."""
    plain: list[float]
    """Seconds a path of each group."""
    scores: dict[ArchPath, Score]
    """Scores of all paths by the shared walk."""


def run(settings: EvaluateSettings, device: torch.device) -> Measured:
    """Measure on random weights, images and labels: none of them changes what there is to compute."""
    space, input_spec = settings.space, settings.input_spec
    generator = torch.Generator().manual_seed(settings.seed)
    # one path at a time takes long: it is timed on a random part and scaled up
    paths = space.all_paths("paths=all") if settings.paths is None else space.sample_distinct(settings.paths, generator)
    order = torch.randperm(len(paths), generator=generator).tolist()
    chosen = [paths[i] for i in order[: settings.plain_paths]]
    shared, plain = _evaluators(settings, device)
    _warm_up(space, shared, plain)
    before = shared.block_evaluations
    # both in turns, so that other load on the machine falls on both
    times = _interleaved(shared, plain, paths, chosen, device)
    work = multiply_adds(space, input_spec, paths) if isinstance(space, SequentialSpace) else None
    figures = {
        "search_space": space.name,
        "paths": len(paths),
        "block_evaluations": {"plain": len(space.sizes) * len(paths), "shared": shared.block_evaluations - before},
        "multiply_adds": work and {**work._asdict(), "bound": work.bound},
        "largest_difference": largest_difference(times.scores, {path: plain.score(path) for path in chosen}),
        **_seconds(times, len(paths), len(chosen)),
    }
    return Measured(figures, _table(figures, settings), figures["ratio"])


def multiply_adds(space: SequentialSpace, input_spec: InputSpec, paths: Sequence[ArchPath]) -> Work:
    """The stem runs once, or for every path; a choice for every distinct prefix, or path; the tail for every path."""
    table = space.additive_costs(input_spec)
    shape = (input_spec.in_channels, input_spec.image_size, input_spec.image_size)
    stem = measure(partial(space.stem, input_spec.in_channels), shape)[0].macs
    tail = table.fixed.macs - stem
    prefixes = {path[:depth] for path in paths for depth in range(1, len(path) + 1)}
    blocks = sum(table.choices[len(prefix) - 1][prefix[-1]].macs for prefix in prefixes)
    return Work(sum(table(path).macs for path in paths), stem + blocks + len(paths) * tail)


def largest_difference(some: dict[ArchPath, Score], others: dict[ArchPath, Score]) -> dict[str, float]:
    """Largest differences of accuracy and of loss over the paths of `others`; a nan stays a nan."""
    both = torch.tensor([[some[path], score] for path, score in others.items()], dtype=torch.float64)  # (paths, 2, 2)
    largest = (both[:, 0] - both[:, 1]).abs().amax(0).tolist()
    return dict(zip(Score._fields, largest, strict=True))


def _evaluators(settings: EvaluateSettings, device: torch.device) -> tuple[Evaluator, Evaluator]:
    """For the shared and the plain way, on a net each: the shared walk holds its own between slices."""
    torch.manual_seed(settings.seed)
    net: Supernet = settings.space.build(*settings.input_spec).to(device)
    net = net.to(memory_format=torch.channels_last if settings.channels_last else torch.contiguous_format)
    dataset = noise(settings.input_spec, settings.calibration_images, settings.images, settings.seed)
    scoring = ScoringSettings(calibration_images=settings.calibration_images, batch_size=settings.batch_size)
    evaluator = partial(Evaluator, dataset=dataset, device=device, protocol=settings.protocol, settings=scoring)
    return evaluator(net), evaluator(copy.deepcopy(net))


def _warm_up(space: SearchSpace, shared: Evaluator, plain: Evaluator) -> None:
    """Both ways on paths that run every choice once: the first run of a kernel costs more."""
    paths = [tuple(min(choice, m - 1) for m in space.sizes) for choice in range(max(space.sizes))]
    for _ in shared.scores(paths):
        pass
    for path in paths:
        plain.score(path)
    shared.forget()
    plain.forget()


def _interleaved(
    shared: Evaluator, plain: Evaluator, paths: Sequence[ArchPath], chosen: Sequence[ArchPath], device: torch.device
) -> Times:
    """A slice of the shared walk, a group of plain paths, and so on to the end of both."""
    groups = min(GROUPS, len(chosen))
    times = Times([], [], {})
    walk = shared.scores(paths)
    with progress("score", "path", len(paths)) as bar:
        for group in range(groups):
            start = clock(device)
            slice_ = dict(islice(walk, len(paths[group::groups])))
            times.shared.append(clock(device) - start)
            start = clock(device)
            for path in chosen[group::groups]:
                plain.score(path)
            times.plain.append((clock(device) - start) / len(chosen[group::groups]))
            times.scores.update(slice_)
            bar.update(len(slice_))
    for _ in walk:  # nothing is left, but its end gives the net back
        pass
    return times


def _seconds(times: Times, paths: int, plain_paths: int) -> dict[str, Any]:
    """Seconds of both ways and their ratio; the plain way's are scaled up from the median group."""
    plain, shared = spread(times.plain), sum(times.shared)
    return {
        "plain_paths": plain_paths,
        "plain_groups": len(times.plain),
        "seconds_per_plain_path": plain._asdict(),
        "seconds": {"plain": plain.median * paths, "shared": shared},
        "ratio": plain.median * paths / shared,
        "ratio_quartiles": [plain.low * paths / shared, plain.high * paths / shared],
    }


def _table(figures: dict[str, Any], settings: EvaluateSettings) -> Table:
    images = f"{settings.images} images of {settings.input_spec.image_size} px, {settings.protocol}"
    title = f"{figures['search_space']}: {figures['paths']:,} paths, {images}"
    table = plain_table(title, f"one at a time: scaled up from {figures['plain_paths']:,} random paths")
    table.add_column("", no_wrap=True)
    for name in ("one at a time", "shared prefixes", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    # what there is to compute, then what it takes
    table.add_row("choice blocks run", *_compared(figures["block_evaluations"], ",d"))
    if figures["multiply_adds"]:
        table.add_row("multiply-adds an image", *_compared(figures["multiply_adds"], ",d"))
    table.add_row("seconds", *_compared(figures["seconds"], ",.1f"))
    low, high = (quartile * figures["seconds"]["shared"] for quartile in figures["ratio_quartiles"])
    ratios = "{:.2f} to {:.2f}".format(*figures["ratio_quartiles"])
    table.add_row(f"  quartiles of {figures['plain_groups']} groups", f"{low:,.1f} to {high:,.1f}", "", ratios)
    table.add_section()
    # and that both give the same scores
    for key, difference in figures["largest_difference"].items():
        table.add_row(f"largest difference of {key}", "", f"{difference:g}", "")
    return table


def _compared(values: dict[str, float], form: str) -> list[str]:
    """Plain, shared, and how many times as much the plain way takes."""
    return [format(values["plain"], form), format(values["shared"], form), f"{values['plain'] / values['shared']:.2f}"]
