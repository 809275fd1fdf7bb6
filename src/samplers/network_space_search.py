"""Network Space Search (Hong et al. 2021, supplement, sections B to D.1): a distribution over spaces of networks.

The search learns how likely each range of depths and widths is, so that networks drawn uniformly from a likely space
are accurate near a target cost (equation S1). The layout of Theta and the cost's term are not in the supplement; ours
are stated below. K ranges of a decision, m choices of it, T steps of the run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from src.runtime.devices import move
from src.runtime.errors import UsageError
from src.runtime.processes import is_first
from src.samplers.plan import ARCHITECTURE, SEARCH, Plan, Update
from src.samplers.sampler import PlannedRun, Sampler
from src.search_spaces.expanded import Expanded
from src.search_spaces.network_spaces import NetworkSpaces, hit_share
from src.search_spaces.space import SearchSpace
from src.supernet.architecture import ArchitectureParameters, annealed
from src.supernet.supernet import Supernet

COLDEST = 1e-3
"""Lowest temperature: below it weights of a mixture overflow."""


class NetworkSpaceSearch(Sampler):
    """An update of Theta on a search batch, then one of the weights; first a warm-up of the weights alone.

    Theta are independent categoricals over ranges, softmax of logits that start at 0. Each step draws one choice of
    each range, uniformly, and Gumbel noise, once. Theta sees the mixture of those choices by Gumbel-softmax, at a
    temperature that falls in a line over the run; the weights see the network that the noise makes likeliest (`hard`),
    or the same mixture (`soft`). Both updates see Theta as it is before the step.
    """

    takes_masks = True
    architecture: ArchitectureParameters

    def __init__(
        self,
        sizes: Sequence[int],
        seed: int = 0,
        cost: Mapping[str, Any] | None = None,
        partition: Mapping[str, Any] | None = None,
        theta: Mapping[str, Any] | None = None,
        warmup: Mapping[str, Any] | None = None,
        temperature: Sequence[float] = (5.0, 0.001),
        weights: str = "hard",
    ) -> None:
        """A search near one target.

        Args:
            sizes: choices of depth and width of each stage in turn.
            seed: of all draws.
            cost: `of` macs or params, its `target`, the `weight` lambda of its term, and the term's `form`: log for
                lambda |log(F / F_t)|, abs for lambda |F / F_t - 1|.
            partition: `depth` and `width`, choices of a range.
            theta: `lr`, `betas` and `weight_decay` of Adam.
            warmup: `share` of the steps in which the weights train alone; `largest`: meanwhile use the largest depth
                and width with a probability that falls from 1 to 0. None: no warm-up.
            temperature: of the first and of the last step.
            weights: train them `hard`, on one network a step, or `soft`.

        Raises:
            UsageError: a space of other decisions, ranges that do not tile it, or no target.
        """
        super().__init__(sizes, seed)
        if partition is None or partition.get("depth") is None or len(self.sizes) % 2:
            raise UsageError("sampler=network_space_search divides widths and depths: use search_space=expanded_mini")
        self.cost, self.theta = dict(cost or {}), dict(theta or {})
        if self.cost.get("target") is None:
            raise UsageError("sampler=network_space_search needs cost.target=, such as 400e3 of cost.of=macs")
        if len(temperature) != 2 or min(temperature) < COLDEST:
            ends = f"two temperatures of at least {COLDEST}, of the first and of the last step"
            raise UsageError(f"sampler.temperature={list(temperature)}: give {ends}")
        self.spaces = NetworkSpaces(self.sizes, partition)
        self.architecture = ArchitectureParameters(self.spaces.counts)
        self.warmup = dict(warmup or {"share": 0.0, "largest": False})
        self.temperature, self.weights = temperature, weights
        self.step = 0

    def prepare(self, space: SearchSpace, net: Supernet, run: PlannedRun) -> None:
        """Learn what networks cost on the run's images; warns of a rate of Theta that cannot decide in the run.

        Raises:
            UsageError: another space, a target that no network reaches, or settings that leave Theta as it is.
        """
        super().prepare(space, net, run)
        if not isinstance(space, Expanded):
            raise UsageError(f"sampler=network_space_search does not go with {space.name}: use search_space=expanded")
        self.spaces.space, self.spaces.input_spec = space, run.input_spec
        self.spaces.check_target("cost.target", self.cost["of"], self.cost["target"])
        if space.shortcut != "always":
            raise UsageError(
                f"sampler=network_space_search mixes widths under projections alone: search_space.shortcut=always, not "
                f"{space.shortcut}"
            )
        # Adam moves a logit by about its rate a step: for 90 % one range needs so much of a lead on K - 1 others
        most, updates = max(self.spaces.counts), run.steps - self.warmup_steps(run.steps)
        if updates < 1 or self.theta["lr"] == 0:
            key = (
                f"sampler.theta.lr={self.theta['lr']:g}"
                if updates
                else f"sampler.warmup.share={self.warmup['share']:g}"
            )
            raise UsageError(f"{key} leaves Theta as it is in {run.steps} steps: no space would be searched")
        self.architecture_optimizer()
        needed = math.log(9 * max(most - 1, 1)) / 2 / updates
        if self.theta["lr"] < needed and is_first():
            rate = f"sampler.theta.lr={self.theta['lr']:g} cannot decide among {most} ranges in {updates} updates"
            print(f"warning: {rate}: {needed:.2g} could, or more steps")

    def architecture_optimizer(self) -> torch.optim.Optimizer:
        """Adam, as DARTS has it.

        Raises:
            UsageError: it refuses a setting.
        """
        lr, betas, decay = (self.theta[key] for key in ("lr", "betas", "weight_decay"))
        try:
            return torch.optim.Adam(self.architecture.parameters(), lr, tuple(betas), weight_decay=decay)
        except (IndexError, TypeError, ValueError) as error:
            raise UsageError(f"sampler.theta: {error}: betas are two numbers below 1") from None

    def warmup_steps(self, steps: int) -> int:
        """Steps that train the weights alone, of a run of so many."""
        return round(self.warmup["share"] * steps)

    @property
    def passes_per_step(self) -> int:
        """One of Theta and one of the weights."""
        return 2

    def passes_in(self, steps: int) -> int:
        """The warm-up has none of Theta."""
        return 2 * steps - self.warmup_steps(steps)

    def plan(self) -> Plan:
        """The updates of a step, all from one draw."""
        step, self.step = self.step, self.step + 1
        warms_up = step < self.warmup_steps(self.total_steps)
        noise, values = self.architecture.noise(self.generator), self.spaces.draw_values(self.generator)
        is_largest = (torch.rand(len(self.sizes), generator=self.generator) < self.largest_share(step)).tolist()
        # the weights' update: one network, or the mixture
        tau = annealed(step, self.total_steps, *self.temperature)
        if warms_up or self.weights == "hard":
            drawn = [int(each[k]) for each, k in zip(values, self.architecture.hard_path(noise), strict=True)]
            path = tuple(m - 1 if e else v for m, e, v in zip(self.sizes, is_largest, drawn, strict=True))
            own = Update((path,))
        else:
            own = Update((tuple(weights.detach() for weights in self.mixture(tau, noise, values)),))
        if warms_up:
            return [own]
        route = self.mixture(tau, noise, values)
        return [Update((route,), trains=ARCHITECTURE, data=SEARCH, penalty=self.penalty(route)), own]

    def largest_share(self, step: int) -> float:
        """Probability of the largest depth and width in a step: from 1 down to 0 in the warm-up (TuNAS)."""
        until = self.warmup_steps(self.total_steps) if self.warmup["largest"] else 0
        return max(1 - step / until, 0.0) if until else 0.0

    def mixture(self, temperature: float, noise: Sequence[Tensor], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Weights (m,) over the choices of each decision: that of a range at its choice of `values` (K,), else 0."""
        # a range stands for one choice a step, so that the mask of a step is that of a few networks
        shares = self.architecture.soft_route(temperature, noise)
        return tuple(
            torch.zeros(m, dtype=g.dtype, device=g.device).scatter(0, move(at, g.device), g)
            for m, at, g in zip(self.sizes, values, shares, strict=True)
        )

    def penalty(self, route: Sequence[Tensor]) -> Tensor:
        """The term () of the mean cost F of a mixture: lambda |log(F / F_t)|, or lambda |F / F_t - 1|."""
        ratio = self.spaces.expected(self.cost["of"], route) / self.cost["target"]
        return self.cost["weight"] * (ratio.log() if self.cost["form"] == "log" else ratio - 1).abs()

    def epoch_rows(self, labels: Tensor) -> list[dict[str, Any]]:
        """Probability of each range, entropy of each decision in nats, and the mean cost of a network."""
        # a row a range, which the report can draw over epochs
        rows: list[dict[str, Any]] = []
        probabilities = [p.detach() for p in self.architecture.probabilities()]
        for layer, (p, entropy) in enumerate(zip(probabilities, self.architecture.entropy().tolist(), strict=True)):
            rows.append({"figure": "entropy", "layer": layer, "value": entropy})
            named = zip(self.spaces.names(layer), p.tolist(), strict=True)
            at = {"figure": "probability", "layer": layer}
            rows += [{**at, "choice": k, "name": name, "value": value} for k, (name, value) in enumerate(named)]
        mean = self.spaces.expected(self.cost["of"], self.spaces.spread(probabilities))
        return [*rows, {"figure": f"expected_{self.cost['of']}", "value": mean.item()}]

    def elite_space(self) -> dict[str, Any]:
        """The likeliest range of each decision, and how many networks of that space hit the target."""
        # the likeliest range of each decision by itself, for they are independent
        ranges, of, target = self.architecture.derive(), self.cost["of"], self.cost["target"]
        chances = [p[k].item() for p, k in zip(self.architecture.probabilities(), ranges, strict=True)]
        chosen = [torch.eye(count, dtype=torch.float64)[k] for k, count in zip(ranges, self.spaces.counts, strict=True)]
        # what a network of the chosen space costs on average, and what one drawn by Theta does
        mean, expected = (
            self.spaces.expected(of, self.spaces.spread([p.detach() for p in each])).item()
            for each in (chosen, self.architecture.probabilities())
        )
        costs = self.spaces.drawn_costs(of, ranges)
        return {
            "search_space": self.spaces.space.name,
            "settings": self.spaces.space.settings,
            "ranges": [self.spaces.names(layer)[k] for layer, k in enumerate(ranges)],
            "probabilities": [round(chance, 6) for chance in chances],
            "entropies": [round(entropy, 6) for entropy in self.architecture.entropy().tolist()],
            "cost": {"of": of, "target": target, "mean": mean, "expected": expected},
            "within_a_tenth": hit_share(costs, target).item(),
            "draws": len(costs),
        }

    def state_dict(self) -> dict[str, Any]:
        """The generator and the step."""
        return super().state_dict() | {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        super().load_state_dict(state)
        self.step = state["step"]
