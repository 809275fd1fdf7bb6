"""A module tree written as the Python that builds it: `InvertedResidual(16, 32, stride=2, kernel=7, expansion=3)`.

Each line is checked: what it builds has the same layers, settings and shapes of weights as the module it stands for.
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
from src.standalone.exporting.sources import PLAIN
from src.supernet.batch_norm import BatchNorm
from src.supernet.cells import Reduction, relu_conv_bn
from src.supernet.ops import InvertedResidual, PoolBlock, conv_bn

WIDTH = 110
"""Columns a call may take before its arguments get lines of their own."""
Arguments = dict[str, Any]


class Constructors:
    """Writes modules, and remembers the classes and functions of ours that it wrote."""

    def __init__(self, inputs: Mapping[nn.Module, int]) -> None:
        """`inputs`: the channels that each module reads."""
        self.inputs = inputs
        self.used: list[Callable[..., Any]] = []

    def write(self, module: nn.Module, indent: int) -> str:
        """The expression, whose first line starts at column `indent` or after."""
        maker, arguments = self._call(module)
        if maker is nn.Sequential:
            return _laid_out("nn.Sequential", self._all(module, indent), indent)
        if "." not in _name(maker) and maker not in self.used:
            self.used.append(maker)
        if [type(value) for value in arguments.values()] == [nn.ModuleList]:
            (members,) = arguments.values()
            return f"{_name(maker)}({_laid_out('', self._all(members, indent), indent, '[]')})"
        return _laid_out(_name(maker), self._written(maker, arguments), indent)

    def _call(self, module: nn.Module) -> tuple[Callable[..., Any], Arguments]:
        """What builds the module, as far as it can be told from what it holds."""
        if type(module) is nn.Sequential:
            for maker, read in ((conv_bn, _conv_bn), (relu_conv_bn, _relu_conv_bn)):
                found = read(module)
                if found is not None and _builds(maker, found, module):
                    return maker, found
            return nn.Sequential, {}
        block = type(module)
        arguments = READERS.get(block, _attributes)(module)
        if block is PoolBlock:
            arguments = {"inputs": self.inputs[module], "outputs": self.inputs[module], **arguments}
        if not _builds(block, arguments, module):
            raise UsageError(f"formats=module cannot write {block.__name__}, {WANTED}; formats=[onnx] can")
        return block, arguments

    def _written(self, maker: Callable[..., Any], arguments: Arguments) -> list[str]:
        """Sizes by position, the rest by name and only where it is not the default."""
        known = inspect.signature(maker).parameters
        given = [key for key in known if key in arguments and not _is(arguments[key], known[key].default)]
        first = [key for key in given[:2] if key in POSITIONAL]
        return [("" if key in first else f"{key}=") + _value(arguments[key]) for key in given]

    def _all(self, modules: nn.Module, indent: int) -> list[str]:
        """The members of a Sequential or a list; long ones that repeat are written once, as a generator."""
        members = modules.children()
        found = []
        for text, same in groupby(self.write(module, indent + 4) for module in members):
            count = len(list(same))
            is_folded = count > 1 and "\n" in text
            found += [f"*({text} for _ in range({count}))"] if is_folded else [text] * count
        return found


POSITIONAL = ("inputs", "outputs", "in_channels", "out_channels", "in_features", "out_features", "num_features")
WANTED = (
    "whose arguments cannot be told: keep them as attributes of the same names, or add to READERS in "
    "src/standalone/exporting/constructors.py"
)


def _attributes(module: nn.Module) -> Arguments:
    """Arguments that a module keeps as attributes of the same names, as those of torch.nn do."""
    found: Arguments = {}
    for key, parameter in inspect.signature(type(module)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or not hasattr(module, key):
            continue
        value = getattr(module, key)
        if key == "bias":
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                continue  # an argument that older versions of torch lack; `affine` says it
            value = value is not None
        is_square = isinstance(value, tuple) and len(set(value)) == 1
        found[key] = value[0] if is_square else value
    return found


def _conv_bn(module: nn.Module) -> Arguments | None:
    conv, norm, *act = [*module.children(), None, None]
    if not isinstance(conv, nn.Conv2d) or not isinstance(norm, BatchNorm):
        return None
    sizes = {"inputs": conv.in_channels, "outputs": conv.out_channels, "kernel": conv.kernel_size[0]}
    return {**sizes, "stride": conv.stride[0], "groups": conv.groups, "act": type(act[0]) if act[0] else None}


def _relu_conv_bn(module: nn.Module) -> Arguments | None:
    relu, conv, norm, *_ = [*module.children(), None, None, None]
    if not isinstance(relu, nn.ReLU) or not isinstance(conv, nn.Conv2d) or not isinstance(norm, BatchNorm):
        return None
    sizes = {"inputs": conv.in_channels, "outputs": conv.out_channels, "kernel": conv.kernel_size[0]}
    switches = {"affine": norm.affine, "running_stats": norm.track_running_stats, "bias": conv.bias is not None}
    return {**sizes, "stride": conv.stride[0], **switches}


def _inverted_residual(block: nn.Module) -> Arguments:
    convs = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    act = next(module for module in block.modules() if isinstance(module, nn.ReLU | nn.ReLU6))
    sizes = {"inputs": convs[0].in_channels, "outputs": convs[-1].out_channels}
    settings = {"stride": convs[-2].stride[0], "kernel": convs[-2].kernel_size[0], "act": type(act)}
    return {**sizes, **settings, "expansion": convs[-2].out_channels // convs[0].in_channels}


def _pool_block(block: nn.Module) -> Arguments:
    """Without `outputs` where the channels stay as they are: nothing in the block tells them."""
    assert isinstance(block, PoolBlock)
    convs = [module for module in block.project.modules() if isinstance(module, nn.Conv2d)]
    return {"stride": block.pool.stride, **({"outputs": convs[0].out_channels} if convs else {})}


def _reduction(block: nn.Module) -> Arguments:
    assert isinstance(block, Reduction)
    first = _relu_conv_bn(block.body[0])
    assert first is not None
    return {key: first[key] for key in ("inputs", "outputs", "affine", "running_stats", "bias")}


READERS: dict[type, Callable[[nn.Module], Arguments]] = {
    InvertedResidual: _inverted_residual,
    PoolBlock: _pool_block,
    Reduction: _reduction,
}
"""For blocks of ours that do not keep their arguments."""


def _builds(maker: Callable[..., nn.Module], arguments: Arguments, module: nn.Module) -> bool:
    """Whether the call gives a module of the same parts, settings and shapes of weights."""
    with torch.device("meta"), suppress(TypeError):  # an argument is missing
        return _described(maker(**arguments)) == _described(module)
    return False


def _described(module: nn.Module) -> tuple[str, dict[str, Any], dict[str, torch.Size]]:
    plain = {k: v for k, v in vars(module).items() if isinstance(v, bool | int | float) and k != "training"}
    return repr(module), plain, {key: value.shape for key, value in module.state_dict().items()}


def _is(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default


def _value(value: Any) -> str:
    return _name(value) if isinstance(value, type) else repr(value)


def _name(maker: Callable[..., Any]) -> str:
    """As the written file calls it."""
    own = PLAIN.get(maker.__name__, maker.__name__)
    return f"nn.{own}" if maker.__module__.startswith("torch.") else own


def _laid_out(name: str, parts: list[str], indent: int, brackets: str = "()") -> str:
    """A call or list on one line if it fits, else with a line for each part."""
    line = f"{name}{brackets[0]}{', '.join(parts)}{brackets[1]}"
    if indent + len(line) <= WIDTH and "\n" not in line:
        return line
    inner = " " * (indent + 4)
    return f"{name}{brackets[0]}\n" + "".join(f"{inner}{part},\n" for part in parts) + " " * indent + brackets[1]
