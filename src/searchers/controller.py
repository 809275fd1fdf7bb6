"""A policy over paths, learnt by proximal policy optimization (Schulman et al. 2017).

An LSTM reads the choices of the earlier layers and gives the probabilities of the next one's, and what return it
expects. n paths, L layers, m the most choices of a layer, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from src.runtime.errors import UsageError
from src.searchers.mutation import Mutation
from src.supernet.path import ArchPath


@dataclass(frozen=True)
class PpoSettings:
    """Where the papers are silent, the defaults are the usual ones of PPO."""

    lr: float = 3e-4
    clip: float = 0.2
    gae_lambda: float = 0.95
    """Of generalised advantage estimation; the discount is 1 and the reward comes at the end of a path."""
    epochs: int = 4
    minibatch: int = 16
    entropy: float = 0.01
    """Weight of the entropy bonus."""
    value: float = 0.5
    """Weight of the error of the expected return."""
    hidden: int = 64

    def __post_init__(self) -> None:
        for key in self.__dataclass_fields__:
            value, whole = getattr(self, key), key in ("epochs", "minibatch", "hidden")
            kind = int if whole else int | float
            least = 0.0 if key in ("gae_lambda", "entropy", "value") else 1e-12
            most = 1.0 if key == "gae_lambda" else math.inf
            if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
                span = "from 0 to 1" if most == 1 else "of 0 or more" if least == 0 else "above 0"
                raise UsageError(f"searcher.ppo.{key}={value}: give a {'whole ' * whole}number {span}")


def ppo_settings(settings: dict[str, Any] | None) -> PpoSettings:
    """The settings with defaults for what is not given.

    Raises:
        UsageError: there is no such setting, or a value is out of range.
    """
    try:
        return PpoSettings(**(settings or {}))
    except TypeError:
        names = ", ".join(PpoSettings.__dataclass_fields__)
        raise UsageError(f"searcher.ppo={dict(settings or {})}: the keys are {names}") from None


class Policy(nn.Module):
    """Paths (n, L) to the log-probabilities of every choice (n, L, m), and expected returns (n, L)."""

    def __init__(self, sizes: Sequence[int], hidden: int) -> None:
        super().__init__()
        self.most = max(sizes)
        self.choice = nn.Embedding(self.most + 1, hidden)
        """Of the choice before; the last row stands before the first layer."""
        self.layer = nn.Embedding(len(sizes), hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.logits, self.value = nn.Linear(hidden, self.most), nn.Linear(hidden, 1)
        missing = torch.tensor([[choice >= size for choice in range(self.most)] for size in sizes])
        self.register_buffer("missing", missing, persistent=False)
        with torch.no_grad():
            self.logits.weight.mul_(0.01)  # nearly uniform at the start

    def forward(self, paths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities and values; a layer's outputs depend on the earlier layers of `paths` alone."""
        start = torch.full((len(paths), 1), self.most)
        inputs = self.choice(torch.cat([start, paths[:, :-1]], 1)) + self.layer.weight
        states, _ = self.lstm(inputs)
        assert isinstance(self.missing, Tensor)
        logits = self.logits(states).masked_fill(self.missing, -math.inf)
        return logits.log_softmax(-1), self.value(states)[..., 0]


class Controller(Mutation):
    """The policy with its optimizer; drawing from it uses the caller's generator, learning its own."""

    def __init__(self, sizes: Sequence[int], settings: PpoSettings, seed: int) -> None:
        self.sizes, self.settings = tuple(sizes), settings
        # its own initial weights, whatever was drawn elsewhere in the process
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.policy = Policy(sizes, settings.hidden)
        self.optimizer = torch.optim.Adam(self.policy.parameters(), settings.lr)
        self.generator = torch.Generator().manual_seed(seed)
        """Of the order of mini-batches."""

    @torch.no_grad()
    def probabilities(self, path: ArchPath, layer: int) -> NDArray[np.float64]:
        """(m,) of a layer after the choices before it."""
        log_probabilities, _ = self.policy(torch.tensor([path]))
        return _normalised(log_probabilities[0, layer, : self.sizes[layer]])

    @torch.no_grad()
    def sample(self, count: int, rng: np.random.Generator) -> list[ArchPath]:
        """Whole paths."""
        paths = torch.zeros(count, len(self.sizes), dtype=torch.long)
        for layer, size in enumerate(self.sizes):
            log_probabilities, _ = self.policy(paths)
            for i, row in enumerate(log_probabilities[:, layer, :size]):
                paths[i, layer] = int(rng.choice(size, p=_normalised(row)))
        return [tuple(path) for path in paths.tolist()]

    def learn(self, paths: Sequence[ArchPath], drawn: NDArray[np.bool_], rewards: NDArray[np.float64]) -> None:
        """A PPO update on paths whose layers where `drawn` (n, L) came from this policy; rewards (n,).

        Layers that came from elsewhere are the policy's state, not its action: they do not count.
        """
        # Before the update: log-probabilities, and advantages normalised over the layers that count
        chosen, did = torch.tensor(paths), torch.from_numpy(drawn)
        reward = torch.from_numpy(rewards).float()
        with torch.no_grad():
            before, values = self._of(chosen)[:2]
            returns, advantages = self._advantages(values, reward)
            used = advantages[did]
            if len(used) < 2:
                return
            advantages = (advantages - used.mean()) / (used.std() + 1e-8)
        # Clipped updates on shuffled minibatches
        for _ in range(self.settings.epochs):
            order = torch.randperm(len(chosen), generator=self.generator)
            for rows in order.split(self.settings.minibatch):
                self._update(chosen[rows], did[rows], before[rows], returns[rows], advantages[rows])

    def _advantages(self, values: Tensor, reward: Tensor) -> tuple[Tensor, Tensor]:
        """(returns, advantages), both (n, L): GAE at discount 1 with the reward after the last layer."""
        # the value of a layer's state is what the next one promises, and in the end the reward
        following = torch.cat([values[:, 1:], reward[:, None]], 1)
        errors = following - values
        advantages, ahead = torch.zeros_like(values), torch.zeros(len(values))
        for layer in reversed(range(values.shape[1])):
            ahead = errors[:, layer] + self.settings.gae_lambda * ahead
            advantages[:, layer] = ahead
        return advantages + values, advantages

    def _update(self, paths: Tensor, did: Tensor, before: Tensor, returns: Tensor, advantages: Tensor) -> None:
        if not did.any():
            return
        now, values, entropy = self._of(paths)
        # PPO's clipped surrogate (Schulman et al. 2017, equations 7 and 9)
        ratio = (now - before).exp()
        clipped = ratio.clamp(1 - self.settings.clip, 1 + self.settings.clip)
        gain = torch.minimum(ratio * advantages, clipped * advantages)
        loss = -gain + self.settings.value * (values - returns).square() - self.settings.entropy * entropy
        self.optimizer.zero_grad()
        loss[did].mean().backward()
        nn.utils.clip_grad_norm_(self.policy.parameters(), 0.5)
        self.optimizer.step()

    def _of(self, paths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, L) each: log-probabilities of the paths' choices, expected returns, entropies."""
        log_probabilities, values = self.policy(paths)
        chosen = log_probabilities.gather(-1, paths[..., None])[..., 0]
        safe = log_probabilities.masked_fill(log_probabilities.isinf(), 0.0)
        return chosen, values, -(safe * log_probabilities.exp()).sum(-1)

    def state_dict(self) -> dict[str, Any]:
        """Weights, Adam's moments, the generator."""
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.policy.load_state_dict(state["policy"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())


def _normalised(log_probabilities: Tensor) -> NDArray[np.float64]:
    """Probabilities in float64, whose sum is 1 as closely as NumPy asks for."""
    weights = log_probabilities.double().exp().numpy()
    return weights / weights.sum()
