"""Strict fairness taken apart: m paths accumulated without equal counts, and equal counts without accumulation.

Ours, to tell which of the two moves a ranking (FairNAS 2.2.2 argues for both together).

L layers, m choices of a layer, M the largest m.
"""

from __future__ import annotations

from collections.abc import Sequence

from src.runtime.errors import UsageError
from src.samplers.plan import Plan, Update
from src.samplers.sampler import Sampler
from src.samplers.strict_fair import StrictFair


class UniformAccumulated(Sampler):
    """One update of R uniform paths on one mini-batch, their gradients added: strict fairness without fair counts."""

    def __init__(self, sizes: Sequence[int], seed: int = 0, total_steps: int = 1, paths: int | None = None) -> None:
        """`paths` is R, None for the largest m of the space, as strict fairness has."""
        super().__init__(sizes, seed, total_steps)
        if paths is not None and paths < 1:
            raise UsageError(f"sampler.paths={paths}: use 1 or more, or null for the space's number of choices")
        self.takes_masks = paths is not None
        self.paths = max(self.sizes) if paths is None else paths

    @property
    def passes_per_step(self) -> int:
        """R: one backward pass per path."""
        return self.paths

    def plan(self) -> Plan:
        """One update of R paths, drawn independently."""
        return [Update(tuple(self.uniform_path() for _ in range(self.paths)))]


class FairSequential(StrictFair):
    """The M paths of strict fairness on one mini-batch, each with an optimizer step of its own, at the full rate."""

    def plan(self) -> Plan:
        """M updates of one path; together they train every choice of every layer."""
        # the same draws, taken apart
        (update,) = super().plan()
        return [Update((route,)) for route in update.routes]
