"""Run many paths of a supernet depth first: each distinct prefix once, under every protocol of statistics.

What a prefix hands on, and the batch-norm statistics that its choices calibrate to, depend on the prefix alone. All of
NAS-Bench-Macro is 9,840 block evaluations so, instead of 52,488.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from src.supernet.batch_norm import Kept, Scoring, keep, load, norms_of
from src.supernet.path import ArchPath
from src.supernet.segment import Segment, State

PATHS_AT_A_TIME = 256
"""Paths whose statistics are kept at a time, where images have to be taken in groups."""


class Node(NamedTuple):
    """What one prefix hands on, a state for each batch; the nodes of one path are alive at a time."""

    calibration: list[State]
    scored: list[State]


class PrefixWalk:
    """Takes lexicographically ordered paths through a net's segments, keeping what neighbours share."""

    def __init__(self, segments: Sequence[Segment], scoring: Scoring, activation_bytes: int) -> None:
        """`scoring` is entered by the caller; about `activation_bytes` of activations are kept at a time."""
        self.segments, self.scoring, self.activation_bytes = segments, scoring, activation_bytes
        self.block_evaluations = 0
        """Blocks run on the images to be scored."""

    def run(
        self, paths: Sequence[ArchPath], calibration: Sequence[Tensor], batches: Callable[[], Iterable[Tensor]]
    ) -> Iterator[tuple[ArchPath, list[Tensor]]]:
        """(path, logits of every batch) for each of the ordered, distinct paths.

        Args:
            paths: in lexicographic order.
            calibration: batches (B, C, H, W) in the order in which they move the statistics; some may come again.
            batches: gives the batches to be scored, the same in every call.
        """
        at_a_time = self._batches_at_a_time(paths[0], next(iter(batches())))
        distinct = list({id(images): images for images in calibration}.values())
        scored = list(itertools.islice(batches(), max(at_a_time - len(distinct), 0) + 1))
        if len(distinct) + len(scored) <= at_a_time:
            place = {id(images): i for i, images in enumerate(distinct)}
            order = [place[id(images)] for images in calibration]
            yield from ((path, node.scored) for path, node in self._walk(paths, Node(distinct, scored), order))
            return
        for some in _chunks(paths, PATHS_AT_A_TIME):
            yield from self._run_in_groups(some, calibration, batches, at_a_time)

    def _run_in_groups(
        self, paths: list[ArchPath], calibration: Sequence[Tensor], batches: Callable[[], Iterable[Tensor]], size: int
    ) -> Iterator[tuple[ArchPath, list[Tensor]]]:
        """As `run`, `size` batches at a time; the statistics of each prefix are kept from one group to the next."""
        kept: dict[tuple[int, ArchPath], Kept] = {}
        for group in _chunks(calibration, size):
            for _ in self._walk(paths, Node(group, []), range(len(group)), kept):
                pass
        logits: dict[ArchPath, list[Tensor]] = {path: [] for path in paths}
        before = self.block_evaluations
        for group in _chunks(batches(), size):
            self.block_evaluations = before  # each prefix counts once, not once a group
            for path, node in self._walk(paths, Node([], group), (), kept):
                logits[path] += node.scored
        yield from logits.items()

    def _walk(
        self,
        paths: Iterable[ArchPath],
        start: Node,
        order: Sequence[int],
        kept: dict[tuple[int, ArchPath], Kept] | None = None,
    ) -> Iterator[tuple[ArchPath, Node]]:
        """The last node of each path. Of the stack, what the next path shares stays."""
        stack: list[Node] = []
        previous: ArchPath = ()
        for path in paths:
            shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(previous, path)))  # noqa: B905
            del stack[sum(segment.depth <= shared for segment in self.segments) :]
            while len(stack) < len(self.segments):
                stack.append(self._advance(len(stack), path, stack[-1] if stack else start, order, kept))
            yield path, stack[-1]
            previous = path

    def _advance(
        self,
        number: int,
        path: ArchPath,
        node: Node,
        order: Sequence[int],
        kept: dict[tuple[int, ArchPath], Kept] | None,
    ) -> Node:
        """Calibrate one segment after this prefix, then run it on what is to be scored."""
        segment = self.segments[number]
        norms, key = norms_of(segment.modules(path)), (number, path[: segment.depth])
        calibration: list[State] = []
        if node.calibration:
            with self.scoring.calibrate(norms, kept.get(key) if kept is not None else None):
                for i in order:
                    state = segment.run(node.calibration[i], path)
                    if i == len(calibration):  # seen for the first time; a second time it is the same
                        calibration.append(state)
            if kept is not None:
                kept[key] = keep(norms)
        elif kept:
            load(norms, kept[key])
        self.block_evaluations += segment.is_block and bool(node.scored)
        return Node(calibration, [segment.run(state, path) for state in node.scored])

    def _batches_at_a_time(self, path: ArchPath, images: Tensor) -> int:
        """How many batches like this one may be on their way at once."""
        state: State = images
        held = []  # until the sum is taken, or freed memory would be met again at the same address
        for segment in self.segments:
            state = segment.run(state, path)
            held += [tensor for tensor in (state if isinstance(state, tuple) else (state,)) if tensor is not None]
        storages = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in held}
        return max(self.activation_bytes // max(sum(storages.values()), 1), 1)


def _chunks(items: Iterable[State], size: int) -> Iterator[list[State]]:
    """Lists of up to `size` neighbours."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
