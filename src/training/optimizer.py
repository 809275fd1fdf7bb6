"""The optimizer of a supernet: its parameter groups, and how a split adds to them while it runs."""

from __future__ import annotations

from typing import Any

import timm.optim
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn

from src.runtime.errors import UsageError
from src.supernet.dependences import tables
from src.supernet.inter_choice import copied_parameters


def make_optimizer(
    settings: DictConfig, norm_decay: bool, table_decay: float | None, net: nn.Module
) -> torch.optim.Optimizer:
    """The configured optimizer over `net`.

    Raises:
        UsageError: it refuses a setting.
    """
    try:
        return instantiate(settings)(parameter_groups(net, settings.weight_decay, norm_decay, table_decay))
    except (TypeError, ValueError) as error:
        raise UsageError(f"optimizer: {error}") from None


def parameter_groups(
    net: nn.Module, weight_decay: float, norm_decay: bool, table_decay: float | None
) -> list[dict[str, Any]]:
    """Without `norm_decay`, scales, shifts and biases are a group of their own; so are tables with a decay of theirs.

    The order within a group is the net's, but copies that a split added come last: `extend` puts them there too, so
    that a stored optimizer state fits a net that was split before or after the optimizer was made.
    """
    groups: list[dict[str, Any]]
    if norm_decay:
        groups = [{"params": list(net.parameters()), "weight_decay": weight_decay}]
    else:
        groups = timm.optim.param_groups_weight_decay(net, weight_decay)
    # copies last
    copies = {id(parameter) for parameter in copied_parameters(net)}
    groups = [group | {"params": sorted(group["params"], key=lambda p: id(p) in copies)} for group in groups]
    if table_decay is None or not tables(net):
        return groups
    # tables in a group of their own
    apart = {id(table) for table in tables(net)}
    groups = [group | {"params": [p for p in group["params"] if id(p) not in apart]} for group in groups]
    return [*groups, {"params": tables(net), "weight_decay": table_decay}]


def extend(optimizer: torch.optim.Optimizer, copies: list[tuple[nn.Parameter, nn.Parameter]]) -> None:
    """Take (original, copy) parameters in: each copy joins its original's group, with its state (momentum)."""
    group_of = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    for original, copy in copies:
        group_of[id(original)]["params"].append(copy)
        if original in optimizer.state:
            state = optimizer.state[original].items()
            optimizer.state[copy] = {key: v.clone() if isinstance(v, Tensor) else v for key, v in state}
