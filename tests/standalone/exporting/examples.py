"""Networks of every space whose weights and statistics are far from those of a fresh one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from src.datasets.input_spec import InputSpec
from src.search_spaces.space import SearchSpace
from src.standalone.network import Network
from src.supernet.batch_norm import norms_of
from src.supernet.path import ArchPath


def network_of(
    space: SearchSpace, input_spec: InputSpec, path: ArchPath | None = None, name: str = "example"
) -> Network:
    """A network of the space with random statistics and affine values, whose data have a mean and a deviation."""
    generator = torch.Generator().manual_seed(5)
    path = space.sample(generator) if path is None else path
    net = space.build_path(path, *input_spec).eval()
    for norm in norms_of([net]):
        for values in (norm.weight, norm.running_var):
            if values is not None:
                nn.init.uniform_(values, 0.5, 2.0, generator=generator)
        for values in (norm.bias, norm.running_mean):
            if values is not None:
                nn.init.normal_(values, std=0.2, generator=generator)
    mean, std = (0.5,) * input_spec.in_channels, (0.25,) * input_spec.in_channels
    classes = [f"class {i}" for i in range(input_spec.num_classes)]
    return Network(name, space, path, net, input_spec, "made for a test", classes, mean, std)


def noise(input_spec: InputSpec, count: int = 3) -> Tensor:
    """(B, C, H, W)"""
    shape = (count, input_spec.in_channels, input_spec.image_size, input_spec.image_size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))
