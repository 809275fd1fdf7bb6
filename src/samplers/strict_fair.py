"""Strict fairness: every choice of every layer is trained exactly once in each step (FairNAS, Algorithm 1).

L layers, m choices of a layer, M the largest m.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from src.runtime.errors import unknown
from src.samplers.plan import Plan, Update
from src.samplers.sampler import Sampler

IRREGULAR = ("deck", "pad")


class StrictFair(Sampler):
    """One update of M paths on one mini-batch; in each layer the M paths share out the choices.

    Where all layers have m choices, path k takes the k-th entries of one uniform permutation per layer (Algorithm 1).
    Layers with fewer than M choices are filled up in one of two ways:

    - `pad` draws M - m extra choices from the layer's own, without replacement while they last, and shuffles them in
      (FairNAS supplement, 1.1): approximate.
    - `deck` deals every layer from its own shuffled deck of m choices, reshuffled when empty, the rest carried over to
      the next step: counts of a layer never differ by more than one and are equal after every lcm(m_1, ..., m_L)
      paths (Definition 3). On a regular space both are Algorithm 1.
    """

    def __init__(self, sizes: Sequence[int], seed: int = 0, total_steps: int = 1, irregular: str = "deck") -> None:
        super().__init__(sizes, seed, total_steps)
        if irregular not in IRREGULAR:
            raise unknown("sampler.irregular", irregular, IRREGULAR)
        self.irregular = irregular
        self.decks: list[list[int]] = [[] for _ in self.sizes]

    @property
    def passes_per_step(self) -> int:
        """M: one backward pass per path."""
        return max(self.sizes)

    def plan(self) -> Plan:
        """One update of M paths."""
        deal = self._deal if self.irregular == "deck" else self._pad
        columns = [deal(layer) for layer in range(len(self.sizes))]
        return [Update(tuple(zip(*columns, strict=True)))]

    def _deal(self, layer: int) -> list[int]:
        """The next M cards of the layer's deck."""
        deck, hand = self.decks[layer], list[int]()
        while len(hand) < self.passes_per_step:
            if not deck:
                deck.extend(self.permutation(self.sizes[layer]))
            hand.append(deck.pop())
        return hand

    def _pad(self, layer: int) -> list[int]:
        """All m choices and M - m of them once more, in random order."""
        size, wanted = self.sizes[layer], self.passes_per_step
        choices = list(range(size))
        while len(choices) < wanted:
            choices += self.permutation(size)[: wanted - len(choices)]
        return [choices[i] for i in self.permutation(wanted)]

    def state_dict(self) -> dict[str, Any]:
        """The generator and what is left of each deck."""
        return super().state_dict() | {"decks": [torch.tensor(deck, dtype=torch.int64) for deck in self.decks]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        super().load_state_dict(state)
        self.decks = [deck.tolist() for deck in state["decks"]]
