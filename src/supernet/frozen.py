"""Elements of parameters that no route of an update ran, kept as they are through the optimizer's step.

An operation off the routes has no gradient, and every optimizer leaves it alone. A parameter that was used in part has
a gradient of zeros elsewhere, by which momentum and weight decay would still move it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def frozen_elsewhere(used: Mapping[Tensor, Tensor], optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Around an optimizer step: elements that were not used keep their values and optimizer state.

    `used`: bool, of each parameter's shape or to be broadcast to it.
    """
    # Saved before the step: copies cost two to three times the memory of these parameters.
    saved = []
    for parameter in used:
        state = {key: value.clone() for key, value in element_state(optimizer, parameter).items()}
        saved.append((parameter, parameter.detach().clone(), state))
    yield
    with torch.no_grad():
        for parameter, values, state in saved:
            parameter.copy_(torch.where(used[parameter], parameter, values))
            # The first step creates momentum buffers; where nothing was used they start at zero.
            for key, new in element_state(optimizer, parameter).items():
                new.copy_(torch.where(used[parameter], new, state.get(key, torch.zeros_like(new))))


def frozen_rows(tables: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> AbstractContextManager[None]:
    """Rows of tables (m_1, ..., m_k, C) whose gradient is all zero were not looked up, and stay as they are."""
    used: dict[Tensor, Tensor] = {
        table: (table.grad != 0).any(-1, keepdim=True) for table in tables if table.grad is not None
    }
    return frozen_elsewhere(used, optimizer)


def frozen_outside(
    parts: Mapping[Tensor, Sequence[tuple[slice, ...]]], optimizer: torch.optim.Optimizer
) -> AbstractContextManager[None]:
    """Keeps all that lies in none of a parameter's parts; parts of several routes need not make up a rectangle."""
    used = {}
    for parameter, each in parts.items():
        # a whole parameter has nothing to keep
        if parameter.grad is not None and all(parameter[part].shape != parameter.shape for part in each):
            used[parameter] = torch.zeros_like(parameter, dtype=torch.bool)
            for part in each:
                used[parameter][part] = True
    return frozen_elsewhere(used, optimizer)


def element_state(optimizer: torch.optim.Optimizer, parameter: Tensor) -> dict[str, Tensor]:
    """The optimizer's state tensors of the parameter's own shape; step counters belong to no element."""
    state = optimizer.state.get(parameter, {})
    return {key: value for key, value in state.items() if isinstance(value, Tensor) and value.shape == parameter.shape}
