"""Parts of parameters that no route of an update ran: they keep their values and optimizer state through its step.

A parameter without a gradient is left alone by every optimizer. One that was used in part has a gradient of zeros
elsewhere, by which momentum and weight decay would still move it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from src.samplers.plan import Update
from src.supernet.frozen import frozen_outside, frozen_rows
from src.supernet.masked_net import MaskedSupernet
from src.supernet.supernet import Supernet


def frozen_parts(
    net: Supernet, tables: Sequence[nn.Parameter], update: Update, optimizer: torch.optim.Optimizer
) -> AbstractContextManager[None]:
    """Around an optimizer step: slices outside the widths that ran, and rows of the inter-choice `tables`."""
    if isinstance(net, MaskedSupernet):
        return frozen_outside(net.parts_of(update.routes), optimizer)
    return frozen_rows(tables, optimizer) if tables else nullcontext()
