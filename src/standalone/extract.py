"""A path cut out of a supernet: the stand-alone network, with the weights that the path has there."""

from __future__ import annotations

from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.space import SearchSpace
from src.supernet.choice import ChoiceBlock
from src.supernet.path import ArchPath, format_path
from src.supernet.supernet import Supernet


def extract(space: SearchSpace, net: Supernet, path: ArchPath, input_spec: InputSpec) -> nn.Module:
    """`net(images (B, C, H, W)) -> logits (B, classes)`: the path's network on the CPU, with copies of its weights.

    Its outputs are those of `net(images, path)` exactly, as long as both use the running statistics, which are copied.

    Raises:
        UsageError: the path computes something in the supernet that the space's stand-alone networks have no place for.
    """
    if any(isinstance(module, ChoiceBlock) and module.dependence is not None for module in net.modules()):
        raise UsageError(
            "this supernet adds inter-choice weights to its paths, which stand-alone networks do not have: retrain "
            "with weights=scratch, or use a supernet trained with inter_choice=none or split"
        )
    alone = space.build_path(path, *input_spec)
    weights = {key: value.cpu() for key, value in net.subnet(path).state_dict().items()}
    if {key: value.shape for key, value in alone.state_dict().items()} != {k: v.shape for k, v in weights.items()}:
        raise UsageError(
            f"path {format_path(path)} has other layers in the supernet than alone "
            "(search_space.linear_transformer=true): retrain with weights=scratch"
        )
    alone.load_state_dict(weights)
    return alone.train(net.training)
