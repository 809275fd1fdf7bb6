"""Paths drawn in proportion to their gradient norms (PA&DA, Lu et al. 2023; its supplement and its authors' code).

L layers, m choices of a layer, K candidates: all choices of all groups of layers that draw by operations. E epochs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from src.runtime.errors import UsageError, unknown
from src.samplers.candidates import Candidates
from src.samplers.importance import LARGEST_WEIGHT, Smoothing, check_acts, check_smoothing, deck_counts, smoothed
from src.samplers.observation import GRADIENT_NORMS, Observation
from src.samplers.path_norms import PathNorms
from src.samplers.path_report import path_rows
from src.samplers.plan import Plan, Update
from src.samplers.sampler import PlannedRun, Sampler
from src.search_spaces.space import SearchSpace
from src.supernet.path import ArchPath, OpId, chosen
from src.supernet.supernet import Supernet

OPTIONS = {
    "statistic": ("own_sum", "path_rms", "equal"),
    "free_ops": ("floor", "mean", "path_rms"),
    "measured": ("after_clip", "before_clip"),
    "granularity": ("op", "layer_op"),
    "correction": ("none", "marginal", "path"),
}


class PathImportance(Sampler):
    """Each layer's choice is drawn with p = delta g / sum(g) + (1 - delta) / m; g is learnt from gradient norms.

    Once an epoch, at its end, g and p are made anew. delta grows linearly from `smoothing_start` to `smoothing_end`,
    delta = e / E after epoch e of E by default, and the first epoch draws uniformly. The defaults are those of the
    authors' code, where the gradients of drawn paths are not weighted: what is trained is the mean loss under p.

    - `statistic`: `own_sum` is the sum of the norms of the tensors of a choice's operation, over all cells, and the
      mean over the operations of a path that are it; `path_rms` the root of the mean squared norm of the whole gradient
      of paths that have it; `equal` is 1 if it has parameters: the schedule without its gradients.
    - `free_ops`, of choices without parameters beside others: `floor` is 0, `mean` the mean of the others, `path_rms`
      that mean times the ratio of their path_rms to the others'.
    - `reset`: running means begin each epoch with 0; else they go on, free of that 0, and choices that were never seen
      have the mean of the others.
    - `granularity`: `op` for one distribution for layers with the same candidates, the edges of a cell; `layer_op` for
      one for each layer.
    - `correction`: `marginal` multiplies the gradient of a drawn operation by 1 / (m p), `path` the loss of a path by
      the product of that over its layers, which gives the uniform mean exactly.
    - `deck`: an update has M paths; each layer deals floor or ceil of M p cards of each choice, one at least. M = m is
      FairNAS's Algorithm 1, whatever p is.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        seed: int = 0,
        total_steps: int = 1,
        statistic: str = "own_sum",
        free_ops: str = "floor",
        measured: str = "after_clip",
        memory: float = 0.5,
        reset: bool = True,
        granularity: str = "op",
        smoothing_start: float = 0.0,
        smoothing_end: float = 1.0,
        correction: str = "none",
        deck: bool = False,
        deck_paths: int | None = None,
    ) -> None:
        """
        Args:
            sizes: (L,) choices of each layer.
            seed: of the draws.
            total_steps: supernet steps of the whole run.
            statistic: that g is made of.
            free_ops: g of choices without parameters.
            measured: norms before or after clipping.
            memory: share of a running mean that stays.
            reset: begin each epoch with means of 0.
            granularity: which layers draw together.
            smoothing_start: delta at the start.
            smoothing_end: delta at the end.
            correction: weights by which the mean over draws is the uniform one.
            deck: updates of several paths.
            deck_paths: M of them; None: the largest m.
        """
        super().__init__(sizes, seed, total_steps)
        options = (statistic, free_ops, measured, granularity, correction)
        for key, value in zip(OPTIONS, options, strict=True):
            if value not in OPTIONS[key]:
                raise unknown(f"sampler.{key}", value, OPTIONS[key])
        check_smoothing("sampler.", smoothing_start, smoothing_end)
        if not (isinstance(memory, int | float) and 0 <= memory < 1):
            raise UsageError(f"sampler.memory={memory}: give the share of the old mean that stays, from 0 to below 1")
        self.statistic, self.free_ops, self.measured, self.granularity, self.correction = options
        self.memory, self.reset, self.delta = memory, reset, 0.0
        self.smoothing = Smoothing(smoothing_start, smoothing_end, 1.0)
        self.deck, self.cards = deck, max(self.sizes) if deck_paths is None else deck_paths
        if deck:
            self._check_deck()
        self.wants = frozenset({GRADIENT_NORMS})

    def _check_deck(self) -> None:
        if type(self.cards) is not int or self.cards < max(self.sizes):
            raise UsageError(
                f"sampler.deck_paths={self.cards}: an update deals each of {max(self.sizes)} choices at least once, so "
                f"give {max(self.sizes)} or more"
            )
        if self.statistic == "path_rms" or self.correction == "path":
            raise UsageError(
                "sampler.deck=true sums the gradients of several paths: use sampler.statistic=own_sum or equal, and "
                "sampler.correction=none or marginal"
            )

    def prepare(self, space: SearchSpace, net: Supernet, run: PlannedRun) -> None:
        """Learn which layers draw together, and which choices have parameters.

        Raises:
            UsageError: there is nothing to draw, or weights of paths would grow without bounds.
        """
        super().prepare(space, net, run)
        self.candidates = Candidates(space, net, self.granularity == "op")
        if self.candidates.tied and (self.deck or self.granularity == "layer_op"):
            key = "deck=true" if self.deck else "granularity=layer_op"
            raise UsageError(f"sampler.{key} tells layers apart, which share operations: use search_space.share=1")
        self.smoothing = Smoothing(self.smoothing.start, self.smoothing.end, run.epochs)
        self._check_weights(space.name)
        self.norms = PathNorms(self.candidates, self.measured == "after_clip", self.memory, self.reset)
        sizes = [group.size for group in self.candidates.groups]
        self.probabilities = [torch.full((size,), 1 / size, dtype=torch.float64) for size in sizes]
        """(m,) of each group."""
        self.draws = [torch.zeros(size, dtype=torch.int64) for size in sizes]
        """(m,) of each group: choices drawn in this epoch."""
        self.report: list[dict[str, Any]] = []

    def _check_weights(self, name: str) -> None:
        check_acts("sampler=path_importance", self.smoothing)
        # the cards of a deck are never so few
        if self.correction == "none" or self.deck:
            return
        layers, share = self.candidates.learning_layers, 1 - self.smoothing.largest
        most = math.inf if share <= 0 else share ** -(layers if self.correction == "path" else 1)
        if most > LARGEST_WEIGHT:
            right = ", or sampler.correction=marginal" if self.correction == "path" else ""
            raise UsageError(
                f"sampler.correction={self.correction}: on the {layers} layers of {name} a weight may reach "
                f"{most:.2g}, more than {LARGEST_WEIGHT:g}: use a smaller sampler.smoothing_end{right}"
            )

    @property
    def passes_per_step(self) -> int:
        """One, or M with a deck."""
        return self.cards if self.deck else 1

    # drawing

    def plan(self) -> Plan:
        """One update, of one path or of M."""
        layers = range(len(self.sizes))
        hands = [self._hand(layer) if self.deck else [self._draw(layer)] for layer in layers]
        routes = tuple(zip(*hands, strict=True))
        weights = (self.weight(routes[0]),) if self.correction == "path" else None
        return [Update(routes, weights=weights, op_scales=self._op_scales(hands))]

    def weight(self, path: ArchPath) -> float:
        """1 / (A p) of a path, A being the number of all: the product of 1 / (m p) over its layers."""
        p = (self._of(layer)[choice] for layer, choice in enumerate(path))
        return 1 / math.prod(size * float(each) for size, each in zip(self.sizes, p, strict=True))

    def _of(self, layer: int) -> Tensor:
        """p (m,) of a layer."""
        return self.probabilities[self.candidates.group_of[layer]]

    def _draw(self, layer: int) -> int:
        """A choice of one layer; a uniform one as SPOS draws it."""
        p = self._of(layer)
        if bool((p == p[0]).all()):
            return int(torch.randint(len(p), (), generator=self.generator))
        mark = torch.rand((), dtype=torch.float64, generator=self.generator) * p.sum()
        return min(int(torch.searchsorted(p.cumsum(0), mark, right=True)), len(p) - 1)

    def _hand(self, layer: int) -> list[int]:
        """M choices of one layer in random order; M = m of them as StrictFair deals them."""
        p = self._of(layer)
        cards = list(range(len(p)))
        if len(p) < self.cards:
            offset = float(torch.rand((), dtype=torch.float64, generator=self.generator))
            cards = torch.arange(len(p)).repeat_interleave(deck_counts(p, self.cards, offset)).tolist()
        return [cards[i] for i in reversed(self.permutation(self.cards))]

    def _op_scales(self, hands: Sequence[Sequence[int]]) -> tuple[tuple[OpId, float], ...] | None:
        """1 / (m p) of each operation of the update that was drawn, p being its share of the cards in a deck."""
        if self.correction != "marginal":
            return None
        scales: dict[OpId, float] = {}
        for route in zip(*hands, strict=True):
            for op in self.candidates.net.operations(route):
                layer, choice = op
                if self.candidates.index(op) is not None:
                    share = hands[layer].count(choice) / self.cards if self.deck else float(self._of(layer)[choice])
                    scales[op] = 1 / (self.sizes[layer] * share)
        return tuple(scales.items())

    # learning

    def observe(self, observation: Observation) -> None:
        """Keep the norms of an update; at the end of an epoch make new probabilities of them."""
        for route in observation.update.routes:
            for layer, choice in chosen(route):
                self.draws[self.candidates.group_of[layer]][choice] += 1
        self.norms.add(observation)
        if observation.end_of_epoch:
            self._learn(observation.epoch)

    def _learn(self, epoch: int) -> None:
        factors = self.norms.learn()
        importances = self.candidates.by_group(self.norms.importances(self.statistic, self.free_ops))
        clip = {"clipped_share": float((factors < 1).double().mean()), "clip_factor": float(factors.mean())}
        figures = {"path_smoothing": self.delta} | clip
        rows = path_rows(self.candidates, self.probabilities, self.draws, importances)
        self.report = [*({"figure": name, "value": value} for name, value in figures.items()), *rows]
        # the draws of the next epoch
        self.delta = self.smoothing.after(epoch)
        for number, g in enumerate(importances):
            if g is not None:
                self.probabilities[number] = smoothed(g, self.delta)
            self.draws[number].zero_()

    def epoch_rows(self, labels: Tensor) -> list[dict[str, Any]]:
        """Rows of importance.csv about the last whole epoch."""
        return self.report

    def state_dict(self) -> dict[str, Any]:
        """The generator, the probabilities, and what was learnt so far."""
        learnt = {"delta": self.delta, "probabilities": [p.clone() for p in self.probabilities]}
        return (
            super().state_dict() | learnt | {"draws": [d.clone() for d in self.draws], "norms": self.norms.state_dict()}
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        super().load_state_dict(state)
        self.delta, self.probabilities = state["delta"], [p.clone() for p in state["probabilities"]]
        self.draws = [d.clone() for d in state["draws"]]
        self.norms.load_state_dict(state["norms"])
