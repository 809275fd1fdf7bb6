"""The window of strict fairness as one static graph: compiled once, with the permutations as its input.

Every choice of every layer runs exactly once in a fair step, so only the routing differs from step to step. On a GPU
torch.compile records the graph once and replays it (CUDA graphs); on a CPU it fuses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from src.supernet.batch_norm import repeated, stacked
from src.supernet.choice import Routing, routing_of
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet

BACKEND = "inductor"
STANCES: tuple[Literal["default", "fail_on_recompile"], ...] = ("default", "fail_on_recompile")
"""For the first call, and for all others."""


class CompiledWindow:
    """Compiled at its first call; a later call that would need another graph raises."""

    def __init__(self, net: Supernet) -> None:
        """`net` has the inter-choice weights it will have, and no copies: a split changes the graph."""
        self.net = net
        self.graph: Callable[[Tensor, Routing], Tensor] | None = None

    def __call__(self, images: Tensor, paths: Sequence[ArchPath]) -> list[Tensor]:
        """Logits (B, classes) of m paths that run every choice once, on images (B, C, H, W)."""
        routing = routing_of(paths, images.device, next(self.net.parameters()).dtype)
        # compiled at the first call; from the second on another shape is an error, not a recompilation
        run, stance = self.graph or self._compile(images.device), STANCES[self.graph is not None]
        shared = self.net.stacked_modules()
        # outputs of the last replay may be overwritten from here on
        torch.compiler.cudagraph_mark_step_begin()
        with (
            repeated([self.net.stem], len(paths)),
            stacked(shared, len(paths)),
            torch.compiler.set_stance(stance),
        ):
            logits = run(images, routing)
        self.graph = run
        return list(logits.unbind())

    def clear_unreached(self, paths: Sequence[ArchPath]) -> None:
        """After the backward pass: no gradient, instead of zeros, for what no path's loss depends on."""
        for path in paths:
            for module in self.net.unreached(path):
                for parameter in module.parameters():
                    parameter.grad = None

    def _compile(self, device: torch.device) -> Callable[[Tensor, Routing], Tensor]:
        window: Any = self.net.compilable_window
        mode = "reduce-overhead" if device.type == "cuda" else None
        return torch.compile(window, fullgraph=True, dynamic=False, backend=BACKEND, mode=mode)
