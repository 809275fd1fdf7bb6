"""Architecture parameters: a categorical distribution over the choices of each decision, learnt by gradients.

DARTS relaxes a choice to a softmax over logits (Liu et al. 2019, eq. 2); Gumbel-softmax draws such weights near a
random choice (Jang et al. 2017, eq. 2). L decisions, m choices of a decision.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src.runtime.devices import move
from src.supernet.path import ArchPath


class ArchitectureParameters(nn.Module):
    """Logits (m,) of L independent decisions, all 0 at first: every choice is as likely as the others.

    It stands beside a supernet, never inside one: weights and logits are two sets of parameters, each with an optimizer
    of its own.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        """`sizes` (L,) choices of each decision."""
        super().__init__()
        self.logits = nn.ParameterList(nn.Parameter(torch.zeros(size)) for size in sizes)

    def probabilities(self) -> list[Tensor]:
        """softmax of the logits of each decision, L times (m,), differentiable."""
        return [logits.softmax(0) for logits in self.logits]

    def noise(self, generator: torch.Generator) -> list[Tensor]:
        """Standard Gumbel noise -log(-log u) for each decision, L times (m,), float64 on the CPU.

        One draw serves a whole step: masks, norms and costs of one decision must agree. u stays above 0, whose
        logarithm would make nan of the weights.
        """
        least = torch.finfo(torch.float64).tiny
        uniform = (torch.rand(len(logits), generator=generator, dtype=torch.float64) for logits in self.logits)
        return [-torch.log(-torch.log(u.clamp(min=least))) for u in uniform]

    def soft_route(self, temperature: float = 1.0, noise: Sequence[Tensor] | None = None) -> tuple[Tensor, ...]:
        """Weights softmax((logits + noise) / temperature) of each decision, (m,), differentiable in the logits.

        Without noise they are DARTS's, with it Gumbel-softmax's: near a one-hot vector as the temperature goes to 0.
        Nothing waits for the device.
        """
        # the noise is drawn on the CPU, so that every device and process has the same
        route: list[Tensor] = []
        for layer, logits in enumerate(self.logits):
            drawn = logits if noise is None else logits + move(noise[layer].to(logits.dtype), logits.device)
            route.append((drawn / temperature).softmax(0))
        return tuple(route)

    @torch.no_grad()
    def hard_path(self, noise: Sequence[Tensor]) -> ArchPath:
        """The choices argmax(logits + noise), which are a draw from the probabilities (Gumbel-max).

        A network of one operation a decision; reading it waits for the device.
        """
        # in float64, as the noise was drawn: ties are then as good as impossible
        return tuple(
            int((logits.double().cpu() + drawn).argmax()) for logits, drawn in zip(self.logits, noise, strict=True)
        )

    @torch.no_grad()
    def derive(self) -> ArchPath:
        """The likeliest choice of each decision, the first of equals."""
        return tuple(int(logits.argmax()) for logits in self.logits)

    def entropy(self) -> Tensor:
        """(L,) entropy of each decision in nats, from log m at first to 0 when it is decided."""
        return torch.stack([torch.distributions.Categorical(logits=logits).entropy() for logits in self.logits])

    def expected(self, values: Sequence[Tensor], fixed: float = 0.0) -> Tensor:
        """The mean () over all paths, each with its probability, of a cost that is a sum over decisions.

        Args:
            values: what each choice of each decision adds, L times (m,).
            fixed: what every path has.
        """
        means = [(p * move(v.to(p.dtype), p.device)).sum() for p, v in zip(self.probabilities(), values, strict=True)]
        return torch.stack(means).sum() + fixed


def annealed(step: int, steps: int, start: float, end: float) -> float:
    """The value at a step in [0, steps) of a line from `start` at the first one to `end` at the last."""
    return start + (end - start) * step / max(steps - 1, 1)
