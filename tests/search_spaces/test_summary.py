import json
import re
from dataclasses import asdict

import pytest
from hydra import compose, initialize_config_dir
from rich.console import Console

from src.runtime.config_reference import CONF
from src.runtime.errors import UsageError
from src.search_spaces.summary import DescribeResult, long_archs, run, size_form, tables


def described(*overrides: str) -> DescribeResult:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return run(compose("describe", list(overrides)))


def shown(result: DescribeResult) -> str:
    console = Console(width=160, record=True, quiet=False)
    with console.capture() as captured:
        for table in tables(result):
            console.print(table)
    return captured.get()


def test_the_default_is_mini_at_its_reference() -> None:
    result = described()
    assert result.search_space == "mini"
    assert result.input == {"in_channels": 1, "num_classes": 10, "image_size": 8}
    assert result.architectures == {"count": 243, "form": "3^5"}
    assert result.paths == []
    assert json.loads(json.dumps(asdict(result))) == asdict(result)


@pytest.mark.parametrize(
    "overrides, form, params",
    [
        (["search_space=mobilenet_a"], "6^16", 10_440_680),
        (["search_space=mobilenet_b", "num_classes=100"], "6^19", 14_839_700),
        (["search_space=proxyless"], "6^6 x 7^15", 16_158_680),
        (["search_space=nas_bench_201", "search_space.subset=no_none"], "4^6", 1_699_546),
        (["search_space=nas_bench_macro"], "3^8", 4_221_386),
    ],
)
def test_every_space_in_conf(overrides: list[str], form: str, params: int) -> None:
    result = described(*overrides)
    assert result.architectures["form"] == form
    assert result.supernet["params"] == params == sum(part["params"] for part in result.supernet["parts"])
    assert f"{params:,}" in shown(result)


def test_input_given() -> None:
    result = described("search_space=nas_bench_macro", "in_channels=1", "num_classes=7", "image_size=16")
    assert result.input == {"in_channels": 1, "num_classes": 7, "image_size": 16}


@pytest.mark.parametrize(
    "override, archs",
    [
        ("path=2-0-2-0-1", ["2-0-2-0-1"]),
        ("path=[2,0,2,0,1]", ["2-0-2-0-1"]),
        ("path=[2-0-2-0-1,0-0-0-0-0]", ["2-0-2-0-1", "0-0-0-0-0"]),
        ("path=[[2,0,2,0,1],[0,0,0,0,0]]", ["2-0-2-0-1", "0-0-0-0-0"]),
    ],
)
def test_paths_of_one_or_a_list(override: str, archs: list[str]) -> None:
    assert [row["arch"] for row in described(override).paths] == archs


def test_published_names_and_arch_strings() -> None:
    (row,) = described("search_space=mobilenet_b", "path=fairnas_a").paths
    assert (row["params"], row["macs"]) == (4_651_352, 388_122_848)
    result = described("search_space=nas_bench_macro", "path=02012100")
    assert result.paths == [{"path": "0-2-0-1-2-1-0-0", "arch": "02012100", "params": 890_666, "macs": 47_327_744}]
    assert "47,327,744" in shown(result)
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|"
    assert described("search_space=nas_bench_201", f"path='{cell}'").paths[0]["params"] == 101_306


def test_bad_input_is_refused() -> None:
    for overrides in (["path=2-0-2"], ["path=nonsense"]):
        with pytest.raises(UsageError):
            described(*overrides)


def test_size_form() -> None:
    assert size_form((6, 7, 7, 6)) == "6^2 x 7^2"
    assert size_form((3,)) == "3^1"


def test_recipes_have_the_same_keys() -> None:
    names = ("mini", "mobilenet_a", "mobilenet_b", "proxyless", "nas_bench_201", "nas_bench_macro")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        recipes = [compose("describe", [f"search_space={name}"]).recipe for name in names]
    assert {tuple(recipe) for recipe in recipes} == {tuple(recipes[0])}
    assert all(isinstance(recipe.weight_decay, float) for recipe in recipes)


def test_equal_layers_share_a_row_and_no_choice_is_broken() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(tables(described("search_space=mobilenet_b"))[0])
    lines = captured.get().splitlines()
    assert any("0 to 18" in line for line in lines) and len(lines) <= 7
    assert not [line for line in lines if re.search(r"\b\d\s*│$", line)]  # a number without its name
    proxyless = described("search_space=proxyless")
    assert shown(proxyless).count("6 identity") == 5


def test_long_arch_strings_stand_whole_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|none~2|"
    result = described("search_space=nas_bench_201", f'path="{cell}"')
    assert long_archs(result) == [f"3-0-1-0-0-0: {cell}"]
    assert cell not in shown(result) and "3-0-1-0-0-0" in shown(result)
    assert long_archs(described("search_space=nas_bench_macro", "path=02012100")) == []
    assert "02012100" in shown(described("search_space=nas_bench_macro", "path=02012100"))
