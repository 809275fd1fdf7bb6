"""Feature maps inside a supernet: what the choices of one layer make of the same input (FairNAS section 5).

m choices of the layer, B images, C channels, H W size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from src.runtime.errors import UsageError
from src.supernet.bn_protocols import BNProtocol
from src.supernet.path import ArchPath
from src.supernet.supernet import Supernet


@torch.no_grad()
def layer_features(net: Supernet, layer: int, images: Tensor, path: ArchPath) -> Tensor:
    """(m, B, C, H, W): the output of each choice of a layer (an edge of the first cell), the others as in `path`.

    Batch norms use the statistics of these images, which suit every choice alike. The net is left as it was.

    Raises:
        UsageError: there is no such layer.
    """
    blocks = dict(reversed(net.blocks()))  # the first cell's
    if layer not in blocks:
        raise UsageError(f"similarity.layer={layer}: the supernet has the layers 0 to {max(blocks)}")
    outputs: list[Tensor] = []
    hook = blocks[layer].register_forward_hook(lambda *call: outputs.append(call[-1]))
    with BNProtocol(net, "batch"):
        for choice in range(len(blocks[layer].choices)):
            net(images, (*path[:layer], choice, *path[layer + 1 :]))
    hook.remove()
    return torch.stack(outputs)
