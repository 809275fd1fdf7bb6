"""Evaluate many paths of a supernet depth first: each distinct prefix once, under any BN protocol.

The activations after a prefix, and the BN statistics that its choices calibrate to, depend on the prefix alone. All of
NAS-Bench-Macro is 9,840 block evaluations so, instead of 52,488. B batch, C channels, H W size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from src.supernet.batch_norm import norms_of
from src.supernet.bn_protocols import BNProtocol, NormStatistics, copy_statistics, load_statistics
from src.supernet.path import ArchPath
from src.supernet.segment import Segment, State

PATHS_AT_A_TIME = 256
"""Paths whose BN statistics are kept at a time, where images have to be taken in groups."""
PrefixStatistics = dict[tuple[int, ArchPath], NormStatistics]
"""(number of a segment, the prefix it depends on) -> calibrated statistics of its norms."""


class Activations(NamedTuple):
    """Activations after a prefix, one state per batch; on a walk those of one path's prefixes are alive at a time."""

    calibration: list[State]
    scored: list[State]


class PrefixWalk:
    """Takes lexicographically ordered paths through a net's segments, keeping the activations of shared prefixes."""

    def __init__(self, segments: Sequence[Segment], bn: BNProtocol, activation_bytes: int) -> None:
        """`bn` is entered by the caller; about `activation_bytes` of activations are kept at a time."""
        self.segments, self.bn, self.activation_bytes = segments, bn, activation_bytes
        self.block_evaluations = 0
        """Blocks run on the images to be scored."""

    def run(
        self, paths: Sequence[ArchPath], calibration: Sequence[Tensor], batches: Callable[[], Iterable[Tensor]]
    ) -> Iterator[tuple[ArchPath, list[Tensor]]]:
        """(path, logits (B, classes) of every batch) for each of the ordered, distinct paths.

        Args:
            paths: in lexicographic order.
            calibration: batches (B, C, H, W) in the order in which they update the statistics; some may come again.
            batches: gives the batches (B, C, H, W) to be scored, the same in every call.
        """
        # a path that is there, and the last choices of all: where choices are widths and depths, as large as any path
        probes, images = {paths[0], tuple(map(max, zip(*paths, strict=True)))}, next(iter(batches()))
        at_a_time = min(self.batches_at_a_time(path, images) for path in probes)
        # `adapt` goes round the same few batches: each distinct one is held once, `order` says which comes when.
        distinct = list({id(images): images for images in calibration}.values())
        scored = list(itertools.islice(batches(), max(at_a_time - len(distinct), 0) + 1))
        if len(distinct) + len(scored) <= at_a_time:
            place = {id(images): i for i, images in enumerate(distinct)}
            order = [place[id(images)] for images in calibration]
            for path, activations in self.walk(paths, Activations(distinct, scored), order):
                yield path, activations.scored
            return
        for chunk in chunks(paths, PATHS_AT_A_TIME):
            # First pass: calibrate group by group; a cumulative average continues where the last group left it.
            statistics: PrefixStatistics = {}
            for group in chunks(calibration, at_a_time):
                for _ in self.walk(chunk, Activations(group, []), range(len(group)), statistics):
                    pass
            # Second pass: score group by group with the finished statistics of each prefix.
            logits: dict[ArchPath, list[Tensor]] = {path: [] for path in chunk}
            before = self.block_evaluations
            for group in chunks(batches(), at_a_time):
                self.block_evaluations = before  # each prefix counts once, not once a group
                for path, activations in self.walk(chunk, Activations([], group), (), statistics):
                    logits[path] += activations.scored
            yield from logits.items()

    def walk(
        self,
        paths: Iterable[ArchPath],
        start: Activations,
        order: Sequence[int],
        statistics: PrefixStatistics | None = None,
    ) -> Iterator[tuple[ArchPath, Activations]]:
        """Logits of each path, as the activations after its last segment.

        Args:
            paths: in lexicographic order.
            start: the images (B, C, H, W).
            order: positions of calibration batches, in the order in which they update the statistics.
            statistics: where the statistics of each prefix are kept from one group of images to the next.
        """
        stack: list[Activations] = []
        previous: ArchPath = ()
        for path in paths:
            # Keep the segments that depend only on what this path shares with the one before.
            shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(previous, path)))  # noqa: B905
            del stack[sum(segment.depth <= shared for segment in self.segments) :]
            while len(stack) < len(self.segments):
                stack.append(self.advance(len(stack), path, stack[-1] if stack else start, order, statistics))
            yield path, stack[-1]
            previous = path

    def advance(
        self,
        number: int,
        path: ArchPath,
        activations: Activations,
        order: Sequence[int],
        statistics: PrefixStatistics | None,
    ) -> Activations:
        """Calibrate one segment after this prefix, then run it on the batches to be scored."""
        # calibrate in the order of the batches, or take up the statistics of an earlier group
        segment = self.segments[number]
        norms, key = norms_of(segment.modules(path)), (number, path[: segment.depth])
        calibration: list[State] = []
        if activations.calibration:
            with self.bn.calibrate(norms, statistics.get(key) if statistics is not None else None):
                for i in order:
                    state = segment.run(activations.calibration[i], path)
                    if i == len(calibration):  # in train mode a batch that comes again has the same output
                        calibration.append(state)
            if statistics is not None:
                statistics[key] = copy_statistics(norms)
        elif statistics:
            load_statistics(norms, statistics[key])
        self.block_evaluations += segment.is_block and bool(activations.scored)
        return Activations(calibration, [segment.run(state, path) for state in activations.scored])

    def batches_at_a_time(self, path: ArchPath, images: Tensor) -> int:
        """Number of batches like `images` (B, C, H, W) whose activations fit, 1 at least."""
        state: State = images
        alive = []  # hold every tensor until the sum is taken: a freed one's address would be used again
        for segment in self.segments:
            state = segment.run(state, path)
            alive += [tensor for tensor in (state if isinstance(state, tuple) else (state,)) if tensor is not None]
        storages = {tensor.data_ptr(): tensor.numel() * tensor.element_size() for tensor in alive}
        return max(self.activation_bytes // max(sum(storages.values()), 1), 1)


def chunks(items: Iterable[State], size: int) -> Iterator[list[State]]:
    """Lists of up to `size` neighbours."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
