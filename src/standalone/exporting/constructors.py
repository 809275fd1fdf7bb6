"""Writes a module tree as the Python that builds it: `InvertedResidual(16, 32, stride=2, kernel=7, expansion=3)`.

Each call is checked: it builds the same layers, settings and shapes of weights as the module it stands for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import groupby
from typing import Any

import torch
from torch import nn

from src.runtime.errors import UsageError
from src.standalone.exporting.source_copy import PLAIN
from src.supernet.batch_norm import BatchNorm
from src.supernet.cells import Reduction, relu_conv_bn
from src.supernet.ops import InvertedResidual, PoolBlock, conv_bn

WIDTH = 110
"""Columns a call may take before its arguments get lines of their own."""
Arguments = dict[str, Any]


class ConstructorWriter:
    """Writes modules, and remembers the classes and functions of ours that it wrote."""

    def __init__(self, inputs: Mapping[nn.Module, int]) -> None:
        """`inputs`: the channels that each module reads."""
        self.inputs = inputs
        self.used: list[Callable[..., Any]] = []

    def write(self, module: nn.Module, indent: int) -> str:
        """The expression, whose first line starts at column `indent` or after."""
        maker, arguments = self.call_of(module)
        if maker is nn.Sequential:
            return laid_out("nn.Sequential", self.write_members(module, indent), indent)
        if "." not in written_name(maker) and maker not in self.used:
            self.used.append(maker)
        parameters = inspect.signature(maker).parameters
        # The modules of a block such as FixedCell come first, as a list.
        lists = [key for key, value in arguments.items() if isinstance(value, nn.ModuleList)]
        members = [laid_out("", self.write_members(arguments.pop(key), indent), indent, "[]") for key in lists]

        # Sizes by position, the rest by name and only where it is not the default.
        names = [key for key in parameters if key in arguments and not is_default(arguments[key], parameters[key])]
        by_position = [key for key in names[:2] if key in POSITIONAL]
        parts = members
        for key in names:
            value = arguments[key]
            text = written_name(value) if isinstance(value, type) else repr(value)
            parts.append(text if key in by_position else f"{key}={text}")
        if len(parts) == 1 and members:
            return f"{written_name(maker)}({parts[0]})"
        return laid_out(written_name(maker), parts, indent)

    def call_of(self, module: nn.Module) -> tuple[Callable[..., Any], Arguments]:
        """The class or function that builds the module, and its arguments, read off the module's attributes.

        Raises:
            UsageError: its arguments cannot be read off.
        """
        # conv_bn and relu_conv_bn return a plain Sequential, so any Sequential may be one of theirs.
        if type(module) is nn.Sequential:
            for maker, read in ((conv_bn, conv_bn_arguments), (relu_conv_bn, relu_conv_bn_arguments)):
                arguments = read(module)
                if arguments is not None and builds(maker, arguments, module):
                    return maker, arguments
            return nn.Sequential, {}
        block = type(module)
        arguments = READERS.get(block, attribute_arguments)(module)
        if block is PoolBlock:
            # Where the channels stay as they are nothing in the block tells their number.
            arguments = {"inputs": self.inputs[module], "outputs": self.inputs[module], **arguments}
        if not builds(block, arguments, module):
            raise UsageError(f"formats=module cannot write {block.__name__}, {WANTED}; formats=[onnx] can")
        return block, arguments

    def write_members(self, modules: nn.Module, indent: int) -> list[str]:
        """The members of a Sequential or a list; long ones that repeat are written once, as a generator."""
        members = modules.children()
        parts = []
        for text, same in groupby(self.write(module, indent + 4) for module in members):
            count = len(list(same))
            is_folded = count > 1 and "\n" in text
            parts += [f"*({text} for _ in range({count}))"] if is_folded else [text] * count
        return parts


POSITIONAL = ("inputs", "outputs", "in_channels", "out_channels", "in_features", "out_features", "num_features")
WANTED = (
    "whose arguments are unknown: keep them as attributes of the same names, or add to READERS in "
    "src/standalone/exporting/constructors.py"
)


def attribute_arguments(module: nn.Module) -> Arguments:
    """Arguments that a module keeps as attributes of the same names, as those of torch.nn do."""
    arguments: Arguments = {}
    for key, parameter in inspect.signature(type(module)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not hasattr(module, key):
            continue
        # torch keeps a kernel of 3 as (3, 3), and a missing bias as None.
        value = getattr(module, key)
        if key == "bias":
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                continue  # an argument that older versions of torch lack; `affine` says it
            value = value is not None
        is_square = type(value) is tuple and len(set(value)) == 1
        arguments[key] = value[0] if is_square else value
    return arguments


def conv_bn_arguments(module: nn.Module) -> Arguments | None:
    """Arguments of `conv_bn` if the Sequential looks like one: convolution, BN and perhaps an activation."""
    conv, norm, *act = [*module.children(), None, None]
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, BatchNorm):
        return None
    sizes = {"inputs": conv.in_channels, "outputs": conv.out_channels, "kernel": conv.kernel_size[0]}
    return {**sizes, "stride": conv.stride[0], "groups": conv.groups, "act": type(act[0]) if act[0] else None}


def relu_conv_bn_arguments(module: nn.Module) -> Arguments | None:
    """Arguments of `relu_conv_bn` if the Sequential looks like one: ReLU, convolution, BN."""
    relu, conv, norm, *_ = [*module.children(), None, None, None]
    if not isinstance(relu, nn.ReLU) or not isinstance(conv, nn.Conv2d) or not isinstance(norm, BatchNorm):
        return None
    sizes = {"inputs": conv.in_channels, "outputs": conv.out_channels, "kernel": conv.kernel_size[0]}
    switches = {"affine": norm.affine, "running_stats": norm.track_running_stats, "bias": conv.bias is not None}
    return {**sizes, "stride": conv.stride[0], **switches}


def inverted_residual_arguments(block: nn.Module) -> Arguments:
    """Read off the convolutions: the last but one is depthwise, with e times the input channels."""
    # Expansion 1 has no first 1x1, so count from the end.
    convs = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    act = next(module for module in block.modules() if isinstance(module, nn.ReLU | nn.ReLU6))
    sizes = {"inputs": convs[0].in_channels, "outputs": convs[-1].out_channels}
    settings = {"stride": convs[-2].stride[0], "kernel": convs[-2].kernel_size[0], "act": type(act)}
    return {**sizes, **settings, "expansion": convs[-2].out_channels // convs[0].in_channels}


def pool_block_arguments(block: nn.Module) -> Arguments:
    """The stride, and `outputs` where a projection changes the channels."""
    assert isinstance(block, PoolBlock)
    convs = [module for module in block.project.modules() if isinstance(module, nn.Conv2d)]
    return {"stride": block.pool.stride, **({"outputs": convs[0].out_channels} if convs else {})}


def reduction_arguments(block: nn.Module) -> Arguments:
    """Those of its first convolution."""
    assert isinstance(block, Reduction)
    first = relu_conv_bn_arguments(block.body[0])
    assert first is not None
    return {key: first[key] for key in ("inputs", "outputs", "affine", "running_stats", "bias")}


READERS: dict[type, Callable[[nn.Module], Arguments]] = {
    InvertedResidual: inverted_residual_arguments,
    PoolBlock: pool_block_arguments,
    Reduction: reduction_arguments,
}
"""For blocks of ours that do not keep their arguments."""


def builds(maker: Callable[..., nn.Module], arguments: Arguments, module: nn.Module) -> bool:
    """Whether the call gives a module of the same parts, settings and shapes of weights."""
    # On the meta device: shapes without memory, and no number drawn from a generator.
    with torch.device("meta"), suppress(TypeError):  # an argument is missing
        return fingerprint(maker(**arguments)) == fingerprint(module)
    return False


def fingerprint(module: nn.Module) -> tuple[str, dict[str, Any], dict[str, torch.Size]]:
    """Parts as text, settings of the module itself, shapes of all weights and buffers."""
    # Settings like `residual` show neither in repr nor in the weights.
    plain = {k: v for k, v in vars(module).items() if isinstance(v, bool | int | float) and k != "training"}
    return repr(module), plain, {key: value.shape for key, value in module.state_dict().items()}


def is_default(value: Any, parameter: inspect.Parameter) -> bool:
    """Whether the argument may be left out; types count, since True == 1."""
    return type(value) is type(parameter.default) and bool(value == parameter.default)


def written_name(maker: Callable[..., Any]) -> str:
    """The name of a class or function in the written file."""
    own = PLAIN.get(maker.__name__, maker.__name__)
    return f"nn.{own}" if maker.__module__.startswith("torch.") else own


def laid_out(name: str, parts: list[str], indent: int, brackets: str = "()") -> str:
    """A call or list on one line if it fits, else with a line for each part."""
    line = f"{name}{brackets[0]}{', '.join(parts)}{brackets[1]}"
    if indent + len(line) <= WIDTH and "\n" not in line:
        return line
    inner = " " * (indent + 4)
    return f"{name}{brackets[0]}\n" + "".join(f"{inner}{part},\n" for part in parts) + " " * indent + brackets[1]
