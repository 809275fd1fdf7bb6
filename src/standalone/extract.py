"""Extracts a path from a supernet: the stand-alone network with copies of the weights that the path has there.

B batch, C channels, H W size.
"""

from __future__ import annotations

from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.search_spaces.space import SearchSpace
from src.supernet.choice import ChoiceBlock
from src.supernet.path import ArchPath, format_path
from src.supernet.supernet import Supernet


def extract(space: SearchSpace, net: Supernet, path: ArchPath, input_spec: InputSpec) -> nn.Module:
    """The path's network on the CPU: images (B, C, H, W) to logits (B, classes), with copies of its weights.

    Its outputs equal those of `net(images, path)` as long as both use the running statistics, which are copied.

    Raises:
        UsageError: the path has modules in the supernet that the space's stand-alone networks lack.
    """
    if any(isinstance(module, ChoiceBlock) and module.dependence is not None for module in net.modules()):
        raise UsageError(
            "this supernet adds inter-choice weights to its paths, which stand-alone networks do not have: retrain "
            "with weights=scratch, or use a supernet trained with inter_choice=none or split"
        )
    # path_state() names its tensors as the space's own network does, so the weights are matched by name and shape.
    alone = space.build_path(path, *input_spec)
    weights = {key: value.cpu() for key, value in net.path_state(path).items()}
    if {key: value.shape for key, value in alone.state_dict().items()} != {k: v.shape for k, v in weights.items()}:
        raise UsageError(
            f"path {format_path(path)} has other layers in the supernet than alone "
            "(search_space.linear_transformer=true): retrain with weights=scratch"
        )
    alone.load_state_dict(weights)
    return alone.train(net.training)
