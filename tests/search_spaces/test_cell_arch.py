import itertools

import pytest
import torch
from torch import Tensor

from src.runtime.errors import UsageError
from src.search_spaces.cell_arch import expression, first_paths, format_cell, parse_cell
from src.search_spaces.nas_bench_201 import OPS, SUBSETS
from src.supernet.cell_graph import NAS_BENCH_201

# Stand-ins for the operations: numbers differ where functions do, and zero stays zero.
STAND_INS = {
    "none": torch.zeros_like,
    "skip_connect": lambda x: x,
    "nor_conv_1x1": lambda x: torch.sin(1.3 * x),
    "nor_conv_3x3": lambda x: x**2 - 0.3 * x,
    "avg_pool_3x3": lambda x: torch.tanh(0.7 * x),
}


def output(ops: tuple[str, ...]) -> Tensor:
    return NAS_BENCH_201.run(torch.tensor(0.37, dtype=torch.float64), [STAND_INS[op] for op in ops])


def test_arch_strings() -> None:
    ops = ["nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "none"]
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    assert format_cell(ops) == text
    assert parse_cell(text, OPS) == tuple(ops)


@pytest.mark.parametrize(
    "text",
    [
        "|",
        "|none~0|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~3|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2",
        "|none~0|none~0|none~1|none~0|none~1|none~2|",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a cell: write \|op~0\|"):
        parse_cell(text, OPS)


def test_operations_of_another_subset_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown operation 'none': the options are skip_connect, nor_conv_1x1"):
        parse_cell(format_cell(["none"] * 6), SUBSETS["no_none"])


def test_equal_expressions_are_equal_functions() -> None:
    first = first_paths(OPS)
    assert len(first) == 4930
    values = {path: output(tuple(OPS[c] for c in path)).item() for path in itertools.product(range(5), repeat=6)}
    for path, value in values.items():
        representative = first[expression([OPS[c] for c in path])]
        assert representative <= path
        assert value == pytest.approx(values[representative], abs=1e-12)
    assert len({round(values[path], 11) for path in first.values()}) == 4930


def test_dead_parts_vanish() -> None:
    # Node 1 gets nothing and node 2 feeds nothing.
    dead = ["none", "nor_conv_3x3", "nor_conv_3x3", "nor_conv_1x1", "nor_conv_3x3", "none"]
    assert expression(dead) == (("nor_conv_1x1", (("input", ()),)),)
    assert expression(["none"] * 6) == ()
