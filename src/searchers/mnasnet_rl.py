"""Reinforcement learning as in MnasNet (Tan et al. 2019): one reward for accuracy and cost, learnt by PPO.

n paths, K objectives, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.runtime.errors import UsageError
from src.searchers.controller import Controller, ppo_settings
from src.searchers.searcher import Searcher, SearchProblem
from src.supernet.path import ArchPath


class MnasNetRl(Searcher):
    """Whole paths from a policy whose reward is accuracy * (cost / target) ** exponent."""

    def __init__(
        self,
        problem: SearchProblem,
        population: int = 64,
        target: float | None = None,
        exponent: float = -0.07,
        ppo: dict[str, Any] | None = None,
    ) -> None:
        """The cost is the first objective that can be computed; `target` None: half way between its bounds."""
        super().__init__(problem, population)
        if target is not None and (isinstance(target, bool) or not isinstance(target, int | float) or target <= 0):
            raise UsageError(f"searcher.target={target}: give a number above 0, in the units of the cost")
        if isinstance(exponent, bool) or not isinstance(exponent, int | float) or exponent > 0:
            raise UsageError(f"searcher.exponent={exponent}: give a number of 0 or less")
        self.exponent = float(exponent)
        # Without a cost among the objectives the reward is the score alone
        self.cost = next((i for i, o in enumerate(self.objectives.all) if not o.is_learnt), None)
        bounds = self.objectives.all[self.cost] if self.cost is not None else None
        self.target = target or ((bounds.low + bounds.high) / 2 if bounds else 1.0)
        self.controller = Controller(self.sizes, ppo_settings(ppo), problem.seed)
        self.made: list[ArchPath] = []
        """As the policy drew the asked paths, before the limits."""

    def ask(self) -> list[ArchPath]:
        """A population from the policy, paths that were told before among them."""
        self.made = self.controller.sample(self.population, self.rng)
        return [self.feasible.near(path, self.rng) for path in self.made]

    def learn(self, paths: Sequence[ArchPath], values: NDArray[np.float64]) -> None:
        """A PPO update; layers that a limit changed do not count as the policy's."""
        drawn = np.array(paths) == np.array(self.made[: len(paths)])
        self.controller.learn(paths, drawn, self.reward(values))

    def reward(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) of minimised values (n, K)."""
        merit = self.objectives.merit(values)
        if self.cost is None:
            return merit
        return merit * (values[:, self.cost] / self.target) ** self.exponent

    def state_dict(self) -> dict[str, Any]:
        """The base state and the controller's."""
        return super().state_dict() | {"controller": self.controller.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.controller.load_state_dict(state["controller"])
