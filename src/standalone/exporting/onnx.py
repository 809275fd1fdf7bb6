"""The format `onnx`: one file with weights inside, for a batch of any size.

B batch, C channels, H W size.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.datasets.preprocessing import described
from src.standalone.exporting.backbone import normalised
from src.standalone.network import Network
from src.supernet.path import format_path

MODEL = "model.onnx"
FILES = (MODEL,)
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class FromPixels(nn.Module):
    """A network behind its normalisation: images (B, C, H, W) uint8 to logits (B, classes)."""

    def __init__(self, net: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.net, self.mean, self.std = net, mean, std

    def forward(self, images: Tensor) -> Tensor:
        """uint8 images (B, C, H, W) of 0 to 255, as a decoder gives them, to logits (B, classes)."""
        return self.net(normalised(images, self.mean, self.std))


def graph_to_export(network: Network, normalise: bool) -> tuple[nn.Module, Tensor]:
    """The module that the file computes, and an image (1, C, H, W) of zeros of the type that it reads."""
    input_spec = network.input_spec
    image = torch.zeros(1, input_spec.in_channels, input_spec.image_size, input_spec.image_size)
    # In front of the network, so that any program can feed decoded images.
    if not normalise:
        return network.net, image
    assert network.mean is not None and network.std is not None
    return FromPixels(network.net, network.mean, network.std).eval(), image.to(torch.uint8)


def write(network: Network, folder: Path, normalise: bool) -> None:
    """Write model.onnx: `images` (B, C, H, W) to `logits` (B, classes), with name, path and classes as metadata."""
    net, image = graph_to_export(network, normalise)
    # On a copy out of place: making functions out of place takes half of the exporter's time.
    net = copy.deepcopy(net)
    for module in net.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010 - modules have no such attribute by type
    program = torch.onnx.export(
        net,
        (torch.cat([image, image]),),  # with a batch of 1 the exporter would take the 1 for granted
        dynamo=True,
        verbose=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    assert program is not None
    remove_stack_traces(program.model)
    # ONNX metadata are strings: lists are written as JSON.
    reads = "uint8, 0 to 255" if normalise else "float32, (pixels / 255 - mean) / std"
    facts: dict[str, Any] = {"classes": network.classes, "mean": network.mean, "std": network.std}
    facts |= {"preprocessing": described(network.preprocessing)}
    known = {key: json.dumps(value) for key, value in facts.items() if value is not None}
    program.model.metadata_props.update(
        {"name": network.name, "path": format_path(network.path), "images": reads, **known}
    )
    program.save(folder / MODEL, external_data=False)


def session(folder: Path) -> Callable[[Tensor], Tensor]:
    """onnxruntime on the file, with as many threads as torch: images (B, C, H, W) to logits (B, classes)."""
    import onnxruntime  # late: an optional package, that writing does not need

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors alone
    runtime = onnxruntime.InferenceSession(str(folder / MODEL), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(runtime.run(None, {"images": images.numpy()})[0])


def reader(folder: Path, network: Network, normalise: bool) -> Callable[[Tensor], Tensor]:
    """The file under onnxruntime: normalised images (B, C, H, W) to logits (B, classes).

    A file that reads pixels is given the uint8 images that were normalised to these.
    """
    run = session(folder)
    if not normalise:
        return run
    # Rounding makes up for float32: the pixels are whole numbers.
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (network.mean, network.std))
    return lambda images: run(((images * std + mean) * 255).round().to(torch.uint8))


def remove_stack_traces(model: Any) -> None:
    """Drop the exporter's notes on nodes and values: stack traces with this machine's paths, 3/4 of a small file."""
    model.graph.metadata_props.clear()
    for node in model.graph:
        for part in (node, *node.outputs):
            part.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
