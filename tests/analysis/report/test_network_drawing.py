"""Drawings say what the networks are; how they look is for eyes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.patches import FancyArrowPatch, Rectangle

from src import describe
from src.analysis.report.network_drawing import draw_network
from src.datasets.input_spec import InputSpec
from src.runtime.launch import launch
from src.search_spaces.expanded import Expanded, ExpandedMini
from src.search_spaces.mobilenet import MobileNetB
from src.search_spaces.nas_bench_1shot1 import NasBench1Shot1
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.picture import Blocks, Graph
from tests.test_bad_input import check_one_line


def texts(figure: object) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]  # type: ignore[attr-defined]


def test_a_mobile_network_is_a_row_of_its_blocks_with_their_shapes() -> None:
    space = MobileNetB((32, 40, 80, 96, 192, 320))
    picture = space.picture(space.named["fairnas_a"], space.reference)
    assert picture is not None
    names = [space.op_names(i)[choice] for i, choice in enumerate(space.named["fairnas_a"])]
    assert [block.name for block in picture.blocks] == names
    # FairNAS, Figure 7: 56, 28, 14, 14, 7 and 7 px
    assert [block.size for block in picture.blocks] == [56] * 2 + [28] * 4 + [14] * 8 + [7] * 5
    assert [block.channels for block in picture.blocks] == [32] * 2 + [40] * 4 + [80] * 4 + [96] * 4 + [192] * 4 + [320]
    shown = texts(draw_network("a", picture))
    assert shown.count("MB k7 e6") == names.count("mb_k7_e6") and {"56 px", "7 px"} <= set(shown)


def test_a_cell_is_a_graph_without_its_zeros() -> None:
    space = NasBench201()
    path = space.parse("|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|")
    picture = space.picture(path, space.reference)
    assert picture is not None
    assert picture == Graph(
        ("input", "1", "2", "output"),
        ((0, 1, "nor_conv_3x3"), (1, 2, "avg_pool_3x3"), (0, 3, "skip_connect"), (2, 3, "nor_conv_1x1")),
    )
    figure = draw_network("cell", picture)
    assert len([patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]) == 4
    assert {"conv 3x3", "avg pool 3x3", "skip", "conv 1x1"} <= set(texts(figure))


def test_a_cell_with_operations_on_its_nodes() -> None:
    space = NasBench1Shot1()
    path = space.parse("nb101:p3pp:111001011100101")
    picture = space.picture(path, space.reference)
    assert picture is not None
    assert picture.nodes == ("input", "maxpool3x3", "conv3x3-bn-relu", "maxpool3x3", "maxpool3x3", "output")
    assert [edge[:2] for edge in picture.edges] == space.cell(path).edges()
    assert "conv\n3x3" in texts(draw_network("cell", picture))


def test_a_space_of_widths_is_drawn_from_its_smallest_to_its_largest_network() -> None:
    space = ExpandedMini(ranges=["1-2", "9-16", "1-2", "17-24", "3-4", "25-32"])
    picture = space.picture(None, space.reference)
    assert [(b.channels, b.most, b.size, b.is_optional) for b in picture.blocks] == [
        *((9, 16, 8, False), (9, 16, 8, True)),
        *((17, 24, 4, False), (17, 24, 4, True)),
        *((25, 32, 2, False),) * 3,
        (25, 32, 2, True),
    ]
    boxes = [patch for patch in draw_network("space", picture).axes[0].patches if isinstance(patch, Rectangle)]
    # a dashed box for each block, a full one for those that all networks have
    assert len(boxes) == 8 + 5
    one = space.picture(space.parse("1x9-2x24-3x25"), space.reference)
    assert [b.channels for b in one.blocks] == [9, 24, 24, 25, 25, 25] and isinstance(one, Blocks)


def test_an_input_of_another_size_changes_the_maps() -> None:
    space = Expanded()
    sizes = {b.size for b in space.picture(space.parse("1x8-1x8-1x8"), InputSpec(3, 10, 64)).blocks}
    assert sizes == {64, 32, 16}


def test_describe_draws_what_it_describes(tmp_path: Path) -> None:
    asked = ["search_space=mini", "path=[2-0-2-1-1,0-0-0-0-0]", "draw=true", f"hydra.run.dir={tmp_path}"]
    assert launch("describe", describe.main, asked) == 0
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == ["network_0.png", "network_0.svg", "network_1.png", "network_1.svg"]
    assert json.loads((tmp_path / "result.json").read_text())["search_space"] == "mini"
    assert "<svg" in (tmp_path / "figures" / "network_0.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["search_space=mini", "draw=true"], "path=<path>"),
        (["search_space=mini", "path=|nor_conv_3x3~0|", "draw=true"], "2-0-2"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tmp_path: Path, arguments: list[str], names: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert launch("describe", describe.main, [*arguments, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    check_one_line(capfd.readouterr().err, names)
