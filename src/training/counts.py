"""Update counts of each choice of each layer, and of operations that are not choices one to one.

L layers, m choices of a layer, M the largest m.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from src.supernet.path import OpId, Route
from src.supernet.supernet import Supernet
from src.training.gradients import parameters_of


class Counts:
    """Cumulative number of backward passes through each choice of each layer."""

    def __init__(self, sizes: Sequence[int], op_ids: Sequence[OpId] | None = None) -> None:
        """`op_ids` of all operations, where `operations` are counted too: see Supernet.op_ids."""
        self.sizes = tuple(sizes)
        self.operations = None if op_ids is None else dict.fromkeys(op_ids, 0)
        """Operation -> cumulative number of backward passes that ran it; None where choices tell it."""
        self.values = torch.zeros(len(self.sizes), max(self.sizes), dtype=torch.int64)
        """(L, M); columns beyond a layer's m stay 0."""

    def add(self, routes: Iterable[Route]) -> None:
        """Count one backward pass of each route; a weight vector counts every choice with a weight != 0."""
        # on the host: a soft route on a GPU is waited for
        for route in routes:
            for layer, entry in enumerate(route):
                used = entry.cpu().nonzero().flatten() if isinstance(entry, Tensor) else entry
                self.values[layer, used] += 1

    def add_operations(self, ops: Iterable[OpId]) -> None:
        """Count one backward pass that ran these operations."""
        if self.operations is not None:
            for op in ops:
                self.operations[op] += 1

    def spread(self) -> int:
        """Largest difference between two choices of one layer: 0 after every step under strict fairness."""
        rows = [self.values[layer, :size] for layer, size in enumerate(self.sizes)]
        return max(int(row.max() - row.min()) for row in rows)

    def parameter_free_share(self, net: Supernet) -> float | None:
        """Share of the chosen operations' backward passes that ran one without parameters: pooling, identity, none.

        None before the first pass, and where no choice is an operation.
        """
        counts = self.operations or {(row["layer"], row["choice"]): row["count"] for row in self.rows(0)}
        # what nobody chooses, such as a projection of the input, is in no choice block
        layers = {layer for layer, _ in net.blocks()}
        chosen = {op: count for op, count in counts.items() if op[0] in layers}
        free = sum(count for op, count in chosen.items() if not parameters_of(net, op))
        return free / sum(chosen.values()) if any(chosen.values()) else None

    def rows(self, step: int) -> list[dict[str, int]]:
        """The rows of counts.csv for one step."""
        return [
            {"step": step, "layer": layer, "choice": choice, "count": int(self.values[layer, choice])}
            for layer, size in enumerate(self.sizes)
            for choice in range(size)
        ]

    def operation_rows(self, step: int) -> list[dict[str, int]]:
        """The rows of operation_counts.csv for one step; none where choices tell them."""
        return [
            {"step": step, "layer": layer, "choice": choice, "count": count}
            for (layer, choice), count in (self.operations or {}).items()
        ]

    def state_dict(self) -> dict[str, Any]:
        """Both counts as tensors."""
        operations = {} if self.operations is None else {"operations": torch.tensor([*self.operations.values()])}
        return {"counts": self.values.clone(), **operations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.values.copy_(state["counts"])
        # stored in the order of the operations
        if self.operations is not None:
            self.operations = dict(zip(self.operations, state["operations"].tolist(), strict=True))
