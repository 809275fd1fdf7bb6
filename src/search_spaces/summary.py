"""Summary of a search space: its choices, its size, its supernet layer by layer, and the costs of paths.

L layers, m choices of a layer.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig
from rich.table import Table
from torch import nn

from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.runtime.provenance import commit
from src.runtime.result import Result
from src.search_spaces.expanded import Expanded
from src.search_spaces.network_spaces import NetworkSpaces
from src.search_spaces.regimes import TRIES, regimes
from src.search_spaces.space import SearchSpace
from src.supernet.path import format_path

NO_BREAK = "\N{NO-BREAK SPACE}"
LISTED = 24
"""Choices of a layer that a table names one by one."""
IN_TABLE = 40
"""Letters of an arch string that a table of 80 columns has room for."""


@dataclass(frozen=True, kw_only=True)
class DescribeResult(Result):
    """Contents of a search space, and the costs of some of its paths."""

    command: ClassVar[str] = "describe"
    search_space: str
    input: dict[str, int]
    """in_channels, num_classes, image_size."""
    layers: list[list[str]]
    """Names of the choices of each layer."""
    architectures: dict[str, Any]
    """Their `count`, and its `form` as a product of powers."""
    supernet: dict[str, Any]
    """`params`, and those of each of its `parts`."""
    paths: list[dict[str, Any]]
    """path, arch, params and macs of each path asked for."""
    regimes: list[dict[str, Any]] = field(default_factory=list)
    """Fields of regimes.Regime for each target asked for."""


def run(cfg: DictConfig) -> DescribeResult:
    """Describe cfg.search_space at the given input; what is null follows the space's reference input."""
    space: SearchSpace = instantiate(cfg.search_space)
    asked = {key: cfg[key] for key in InputSpec._fields if cfg[key] is not None}
    input_spec = space.reference._replace(**asked)
    result = describe(space, input_spec, _listed(cfg.path))
    if cfg.targets is None:
        return result
    if not isinstance(space, Expanded):
        raise UsageError(f"targets= counts network spaces, which {space.name} has none of: use search_space=expanded")
    # the partition stands in the space's own file
    spaces = NetworkSpaces.of(space, cfg.partition, input_spec)
    return replace(result, regimes=[regime._asdict() for regime in regimes(spaces, cfg.of, list(cfg.targets))])


def describe(space: SearchSpace, input_spec: InputSpec, paths: Sequence[object]) -> DescribeResult:
    """The space at one input; each path is whatever `space.parse` reads."""
    return DescribeResult(
        commit=commit(),
        search_space=space.name,
        input=input_spec._asdict(),
        layers=[space.op_names(layer) for layer in range(len(space.sizes))],
        architectures={"count": space.count, "form": size_form(space.sizes)},
        supernet=_supernet(space, input_spec),
        paths=[_path(space, input_spec, path) for path in paths],
    )


def size_form(sizes: Sequence[int]) -> str:
    """The product of the sizes by powers, smallest base first: `6^6 x 7^15`."""
    return " x ".join(f"{m}^{len(list(layers))}" for m, layers in itertools.groupby(sorted(sizes)))


def parts(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a net one below the top, with lists spread out: stem, layer 0, layer 1, ..., tail."""
    for name, child in net.named_children():
        if isinstance(child, nn.ModuleList):
            yield from ((f"{name.removesuffix('s')} {i}", module) for i, module in enumerate(child))
        else:
            yield name, child


def tables(result: DescribeResult) -> list[Table]:
    """The result for a terminal: choices, supernet parameters, and the paths if there are any."""
    tables = [_choice_table(result), _supernet_table(result)]
    tables += [_path_table(result)] if result.paths else []
    return [*tables, regime_table(result)] if result.regimes else tables


def _listed(path: object) -> list[object]:
    """The paths of a configuration value: none, one (a list of ints is one), or a list of them."""
    if path is None:
        return []
    if isinstance(path, ListConfig | list) and not all(isinstance(entry, int) for entry in path):
        return list(path)
    return [path]


def _supernet(space: SearchSpace, input_spec: InputSpec) -> dict[str, Any]:
    with torch.device("meta"):  # no memory is used for weights
        net = space.build(*input_spec)
    return {
        "params": _count(net),
        "parts": [{"part": name, "params": _count(module)} for name, module in parts(net)],
    }


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _path(space: SearchSpace, input_spec: InputSpec, text: object) -> dict[str, Any]:
    path = space.parse(text)
    params, macs = space.costs(path, input_spec)
    return {"path": format_path(path), "arch": space.format(path), "params": params, "macs": macs}


def _choice_table(result: DescribeResult) -> Table:
    architectures = result.architectures
    table = Table(title=f"{result.search_space}: {architectures['form']} = {architectures['count']:,} architectures")
    table.add_column("layer", justify="right")
    table.add_column("choices")
    # neighbours with the same choices share a row
    for names, same in itertools.groupby(range(len(result.layers)), key=result.layers.__getitem__):
        layers = list(same)
        numbers = str(layers[0]) if len(layers) == 1 else f"{layers[0]} to {layers[-1]}"
        # a number and its name stay together: textwrap, unlike rich, breaks no line at a no-break space
        listed = [f"{i}{NO_BREAK}{name}" for i, name in enumerate(names)]
        if len(listed) > LISTED:
            listed = [*listed[:2], "...", listed[-1]]
        choices = ", ".join(listed)
        lines = textwrap.fill(choices, 60, break_long_words=False, break_on_hyphens=False)
        table.add_row(numbers, lines.replace(NO_BREAK, " "))
    return table


def _supernet_table(result: DescribeResult) -> Table:
    input_spec, supernet = result.input, result.supernet
    pixels = f"{input_spec['in_channels']}x{input_spec['image_size']}x{input_spec['image_size']}"
    table = Table(title=f"supernet for {pixels} images of {input_spec['num_classes']} classes", show_footer=True)
    table.add_column("part", "sum")
    table.add_column("parameters", f"{supernet['params']:,}", justify="right")
    for row in supernet["parts"]:
        table.add_row(row["part"], f"{row['params']:,}")
    return table


def regime_table(result: DescribeResult) -> Table:
    """Share of networks near each target, and the network space that hits it most."""
    table = Table(title=f"networks within a tenth of a target, by counting; {TRIES}: draws from the best network space")
    for name in (
        "target",
        "one in",
        "its deviation",
        "best network space: d1, w1, d2, w2, d3, w3",
        "share",
        f"in {TRIES}",
        "deviation",
    ):
        is_text = name.startswith("best")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    # no hit among a million draws is no share of 0
    for row in result.regimes:
        share = f"{1 / row['share']:,.0f}" if row["share"] else "none drawn"
        shares = (
            f"{100 * row['best_share']:.0f} %",
            f"{100 * row['in_five']:.1f} %",
            f"{100 * row['deviation']:.1f} %",
        )
        first = "" if row["first_deviation"] is None else f"{100 * row['first_deviation']:.1f} %"
        table.add_row(f"{row['target']:,.0f}", share, first, ", ".join(row["ranges"]), *shares)
    return table


def long_archs(result: DescribeResult) -> list[str]:
    """`path: arch` of each path, where arch strings are too long for a table: unbroken, to be copied."""
    if max((len(row["arch"]) for row in result.paths), default=0) <= IN_TABLE:
        return []
    return [f"{row['path']}: {row['arch']}" for row in result.paths if row["arch"] != row["path"]]


def _path_table(result: DescribeResult) -> Table:
    table = Table(title="stand-alone networks")
    # spaces whose arch string is the path need no second column, and long ones stand below the table
    has_arch = any(row["arch"] != row["path"] for row in result.paths) and not long_archs(result)
    for name in ["path", *["arch"] * has_arch]:
        table.add_column(name, overflow="fold")
    for name in ["parameters", "multiply-adds"]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in result.paths:
        names = [row["path"], *[row["arch"]] * has_arch]
        table.add_row(*names, f"{row['params']:,}", f"{row['macs']:,}")
    return table
