"""MoreMNAS as FairNAS searches with it: NSGA-II under a hierarchy of mutations (supplement, section 3.2 and table 2).

K objectives, M of which must be learnt, n paths, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.runtime.errors import UsageError
from src.searchers.controller import Controller, ppo_settings
from src.searchers.mutation import Mutation, Prior, Roulette, Uniform
from src.searchers.nsga2 import Nsga2
from src.searchers.searcher import SearchProblem, probability
from src.supernet.path import ArchPath


class MoreMnas(Nsga2):
    """A child that is mutated takes one branch: random, reinforced (the controller, or roulette), or prior regulator.

    All branches draw the same number of layers; they differ in the probabilities. Our readings, where the papers leave
    it open: the mutation ratio is the chance that a child is mutated at all; p_M and p_(K-M) share out the reinforced
    branch; roulette spins for one of the computable objectives at random; the elite of the prior are the survivors.
    """

    def __init__(
        self,
        problem: SearchProblem,
        population: int = 64,
        mutation_ratio: float = 0.8,
        layer_probability: float = 0.1,
        random: float = 0.2,
        reinforced: float = 0.65,
        prior: float = 0.15,
        controller: float = 0.7,
        ppo: dict[str, Any] | None = None,
    ) -> None:
        """`controller` is p_M, the share of the reinforced branch that is the controller's; the rest is roulette."""
        super().__init__(problem, population, mutation_ratio, layer_probability)
        # Where the children of a generation come from
        shares = {"random": random, "reinforced": reinforced, "prior": prior}
        for key, value in (shares | {"controller": controller}).items():
            probability(key, value)
        if abs(sum(shares.values()) - 1) > 1e-9:
            named = ", ".join(f"searcher.{key}={value}" for key, value in shares.items())
            raise UsageError(f"{named}: the three must add up to 1")
        self.shares = [random, reinforced * controller, reinforced * (1 - controller), prior]
        self.controller = Controller(self.sizes, ppo_settings(ppo), problem.seed)
        self.drawn: dict[ArchPath, NDArray[np.bool_]] = {}
        """For each asked path the layers (L,) whose choice is the controller's."""
        self._made: tuple[ArchPath, list[int]] | None = None
        """The controller's mutation of the child at hand: what it drew, and which layers."""

    def mutation(self) -> Mutation:
        """The branch of the next child. Without a computable objective the controller has roulette's share too."""
        # random, controller, roulette or prior
        branch = int(self.rng.choice(4, p=self.shares))
        costs = self.objectives.computed
        if branch == 0:
            return Uniform(self.sizes)
        if branch == 3:
            return Prior(self.sizes, self.paths)
        if branch == 1 or not costs:
            return self.controller
        return Roulette(self.objectives.costs[costs[int(self.rng.integers(len(costs)))]], self.sizes)

    def ask(self) -> list[ArchPath]:
        """NSGA-II's generation; the controller's draws are remembered for its update."""
        self.drawn = {}
        return super().ask()

    def _child(self) -> ArchPath:
        """NSGA-II's child; layers drawn by the controller are noted unless a limit changed them."""
        self._made = None
        child = super()._child()
        if self._made is not None and child not in self.seen:
            # a layer that the limits changed was not the controller's action
            made, layers = self._made
            drawn = np.zeros(len(child), dtype=bool)
            drawn[[layer for layer in layers if made[layer] == child[layer]]] = True
            self.drawn.setdefault(child, drawn)
        return child

    def _mutate(self, mutation: Mutation, path: ArchPath, layers: Sequence[int]) -> ArchPath:
        made = mutation(path, layers, self.rng)
        if mutation is self.controller:
            self._made = made, list(layers)
        return made

    def learn(self, paths: Sequence[ArchPath], values: NDArray[np.float64]) -> None:
        """The survivors, and the controller: its reward is what must be learnt, the accuracy."""
        super().learn(paths, values)
        mine = [i for i, path in enumerate(paths) if path in self.drawn and self.drawn[path].any()]
        if mine:
            drawn = np.stack([self.drawn[paths[i]] for i in mine])
            self.controller.learn([paths[i] for i in mine], drawn, self.objectives.merit(values)[mine])

    def state_dict(self) -> dict[str, Any]:
        """NSGA-II's state and the controller's."""
        return super().state_dict() | {"controller": self.controller.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state)
        self.controller.load_state_dict(state["controller"])
