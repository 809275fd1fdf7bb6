"""Expectation fairness: one uniform path per mini-batch, trained k times (FairNAS, Definition 2 and section 4.3.1)."""

from __future__ import annotations

from collections.abc import Sequence

from src.runtime.errors import UsageError
from src.samplers.plan import Plan, Update
from src.samplers.sampler import Sampler


class Uniform(Sampler):
    """k updates of one uniform path on the same mini-batch, each with an optimizer step of its own.

    k = 1 is SPOS (Guo et al. 2020). The paper's EF groups take k = m; `lr_scale` 1 / k is its calibrated one.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        seed: int = 0,
        total_steps: int = 1,
        updates: int | None = 1,
        scale_lr: bool = False,
    ) -> None:
        """`updates` is k, None for the largest m of the space; `scale_lr` takes each update at lr / k."""
        super().__init__(sizes, seed, total_steps)
        if updates is not None and updates < 1:
            raise UsageError(f"sampler.updates={updates}: use 1 or more, or null for the space's number of choices")
        self.takes_masks = updates is not None
        self.updates = max(self.sizes) if updates is None else updates
        self.lr_scale = 1 / self.updates if scale_lr else 1.0

    @property
    def passes_per_step(self) -> int:
        """k: one backward pass per update."""
        return self.updates

    def plan(self) -> Plan:
        """k updates of one path."""
        path = self.uniform_path()
        return [Update((path,), self.lr_scale) for _ in range(self.updates)]
