"""One path, or a few, trained in every step: a stand-alone network inside the supernet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from src.runtime.errors import UsageError
from src.samplers.plan import Plan, Update
from src.samplers.sampler import Sampler
from src.supernet.path import ArchPath, format_path, parse_path


class Fixed(Sampler):
    """One update of the given paths, the same in every step; nothing is drawn."""

    takes_masks = True

    def __init__(
        self, sizes: Sequence[int], seed: int = 0, total_steps: int = 1, paths: Sequence[object] | object = None
    ) -> None:
        """`paths`: one path, as `2-0-2` or [2, 0, 2], or a list of such."""
        super().__init__(sizes, seed, total_steps)
        if not paths:
            raise UsageError("sampler=fixed needs sampler.paths=2-0-2 or sampler.paths=[2-0-2,1-1-0]")
        several = isinstance(paths, Sequence) and not isinstance(paths, str) and not isinstance(paths[0], int)
        listed: Any = paths if several else [paths]
        self.paths = [self._check(parse_path(path)) for path in listed]

    @property
    def passes_per_step(self) -> int:
        """One pass per path."""
        return len(self.paths)

    def plan(self) -> Plan:
        """One update of all paths."""
        return [Update(tuple(self.paths))]

    def _check(self, path: ArchPath) -> ArchPath:
        if len(path) != len(self.sizes) or not all(0 <= c < m for c, m in zip(path, self.sizes, strict=False)):
            sizes = format_path(self.sizes)
            raise UsageError(f"sampler.paths: {format_path(path)} is not a path of layers with {sizes} choices")
        return path
