from __future__ import annotations

from pathlib import Path

import pytest

from src.runtime.errors import UsageError
from src.search_spaces.arch_option import listed_archs, read_arch
from src.search_spaces.mini import Mini
from src.search_spaces.mobilenet import MobileNetA, MobileNetB
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.nas_bench_macro import NasBenchMacro

CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"


def test_names_paths_and_arch_strings() -> None:
    assert read_arch("2-0-1-1-0", Mini()) == (2, 0, 1, 1, 0)
    assert read_arch([2, 0, 1, 1, 0], Mini()) == (2, 0, 1, 1, 0)
    assert read_arch("fairnas_c", MobileNetB())[-1] == 4
    assert read_arch("fairnas_model_12", MobileNetA())[:2] == (1, 5)
    assert read_arch(CELL, NasBench201()) == (3, 0, 1, 4, 2, 0)
    assert read_arch("02012100", NasBenchMacro()) == (0, 2, 0, 1, 2, 1, 0, 0)
    assert read_arch(12012100, NasBenchMacro()) == (1, 2, 0, 1, 2, 1, 0, 0)


@pytest.mark.parametrize(
    "text",
    [
        "arch,macs\n0-0-0-0-0,5\n2-0-1-1-0,7\n",
        "macs,path\n5,0-0-0-0-0\n7,2-0-1-1-0\n",
        "0-0-0-0-0\n\n2-0-1-1-0\n",
        "\ufeffarch\n0-0-0-0-0\n2-0-1-1-0\n",
    ],
)
def test_rows_of_files_are_counted_from_0(text: str, tmp_path: Path) -> None:
    file = tmp_path / "front.csv"
    file.write_text(text)
    assert read_arch(str(file), Mini(), pick=0) == (0, 0, 0, 0, 0)
    assert read_arch(str(file), Mini(), pick=1) == (2, 0, 1, 1, 0)
    for pick in (2, -3):
        with pytest.raises(UsageError, match=f"pick={pick}: .* lists 2, .*use 0 to 1"):
            read_arch(str(file), Mini(), pick)
    with pytest.raises(UsageError, match=r"pick=<row> is missing: .*front.csv lists 2, .*use 0 to 1"):
        read_arch(str(file), Mini())


def test_of_a_single_row_nothing_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text("arch,macs\n2-0-1-1-0,7\n")
    assert read_arch(str(file), Mini()) == read_arch(str(file), Mini(), pick=0) == (2, 0, 1, 1, 0)
    assert read_arch("2-0-1-1-0", Mini(), pick=0) == (2, 0, 1, 1, 0)  # as runs stored it when it was the default


def test_a_row_that_repeats_is_a_row(tmp_path: Path) -> None:
    file = tmp_path / "archs.txt"
    file.write_text("0-0-0-0-0\n0-0-0-0-0\n1-1-1-1-1\n")
    assert read_arch(str(file), Mini(), pick=2) == (1, 1, 1, 1, 1)


def test_mistakes_are_named(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(f"arch\n{CELL}\n")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    for text, names in [
        ("nowhere.csv", "there is no such file"),
        ("no/where", "there is no such file"),
        ("2-0-1", "has 5 layers"),
        ("2-0-1-1-3", "0 to 2"),
        ("mine", "2-0-2"),
        (str(other), "other.csv, line 2"),
        (str(binary), "not a text file"),
        (str(empty), "names no architecture"),
    ]:
        with pytest.raises(UsageError, match=names):
            read_arch(text, Mini())
    with pytest.raises(UsageError, match="options are fairnas_a"):
        read_arch("fairnas_d", MobileNetB())
    with pytest.raises(UsageError, match="leave it out"):
        read_arch("2-0-1-1-0", Mini(), pick=1)
    with pytest.raises(UsageError, match=r"paths=.*nowhere: there is no such file"):
        listed_archs(tmp_path / "nowhere", Mini(), "paths")


def test_the_last_and_the_best_row_have_names(tmp_path: Path) -> None:
    file = tmp_path / "front.csv"
    file.write_text("arch,accuracy,loss\n0-0-0-0-0,0.5,1\n2-0-1-1-0,0.9,3\n1-1-1-1-1,nan,2\n")
    assert read_arch(str(file), Mini(), pick=-1) == (1, 1, 1, 1, 1)
    assert read_arch(str(file), Mini(), pick=-3) == (0, 0, 0, 0, 0)
    assert read_arch(str(file), Mini(), pick="best") == (2, 0, 1, 1, 0)
    # the search that wrote the file went by loss
    (tmp_path / "result.json").write_text('{"command": "search", "objectives": ["loss", "macs"]}')
    assert read_arch(str(file), Mini(), pick="best") == (0, 0, 0, 0, 0)
    (tmp_path / "result.json").unlink()
    file.write_text("arch,loss\n0-0-0-0-0,1\n2-0-1-1-0,3\n")
    assert read_arch(str(file), Mini(), pick="best") == (0, 0, 0, 0, 0)
    for text, words in (
        ("arch,macs\n0-0-0-0-0,5\n", "has no column accuracy or loss, so use a row, 0 to 0"),
        ("0-0-0-0-0\n1-1-1-1-1\n", "has no column accuracy or loss, so use a row, 0 to 1"),
        ("arch,loss\n0-0-0-0-0,much\n", "has a row without a number as loss"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=words):
            read_arch(str(file), Mini(), pick="best")
