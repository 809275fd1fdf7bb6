"""Predictions against a benchmark: nothing is dropped without being counted."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from src.benchmarks.join import match, read_predictions
from src.benchmarks.nas_bench_201 import NasBench201 as Cells
from src.benchmarks.table import Table
from src.runtime.errors import UsageError
from src.search_spaces.mini import Mini
from src.search_spaces.nas_bench_201 import NasBench201
from src.search_spaces.nas_bench_macro import NasBenchMacro


def table(folder: Path, *rows: str) -> Table:
    path = folder / "truth.csv"
    path.write_text("\n".join(["arch,accuracy", *rows, ""]))
    return Table("truth", str(path))


def counts(found: dict[str, dict[str, object]]) -> dict[str, object]:
    return {name: entry["count"] for name, entry in found.items() if isinstance(entry, dict) and entry["count"]}


def test_spelling_is_free_on_both_sides(tmp_path: Path) -> None:
    truth = table(tmp_path, "02012100,0.5", "1-1-1-1-1-2-2-1,0.75", "00000000,0.25")
    found = match(["11111221", "0-2-0-1-2-1-0-0", "0-0-0-0-0-0-0-0"], NasBenchMacro(), truth)
    assert found.truth == [0.75, 0.5, 0.25]
    assert found.lines() == []
    assert found.as_dict()["known"] == found.as_dict()["predictions"] == 3


def test_all_that_does_not_match_is_counted_and_shown(tmp_path: Path) -> None:
    rows = ["00000000,0.1", "00000001,0.2", "0-0-0-0-0-0-0-1,0.3", "00000002,0.4", "00000011,", "000,0.5", ",0.6"]
    rows += ["00000000,0.7", "00000010,0.8"]
    archs = ["00000000", "0-0-0-0-0-0-0-0", "00000001", "00000011", "22222222", "00000000"]
    found = match(archs, NasBenchMacro(), table(tmp_path, *rows))
    assert found.truth[:3] == [0.7, 0.7, 0.3]
    assert all(map(math.isnan, found.truth[3:5]))
    assert found.truth[5] == 0.7
    assert found.lines() == [
        "2 predicted architectures are not in the benchmark, e.g. 00000011, 22222222",
        "2 architectures of the benchmark were not scored, e.g. 00000002, 00000010",
        "2 rows of the predictions repeat an architecture, e.g. 00000000",
        "2 rows of the benchmark repeat an earlier one, e.g. 00000000, 0-0-0-0-0-0-0-1",
        "2 rows of the benchmark are of no network of the space, e.g. 000, nan",
    ]
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["known"] == 4
    assert counts(plain) == {
        "unknown": 2,
        "missing": 2,
        "duplicates": 2,
        "benchmark_duplicates": 2,
        "invalid": 2,
    }


def test_one_is_singular_and_no_more_than_three_are_shown(tmp_path: Path) -> None:
    rows = [f"0-0-0-{a}-{b},0.5" for a in range(3) for b in range(3)]
    found = match(["0-0-0-0-0", "2-0-0-0-0"], Mini(), table(tmp_path, *rows))
    assert found.lines() == [
        "1 predicted architecture is not in the benchmark, e.g. 2-0-0-0-0",
        "8 architectures of the benchmark were not scored, e.g. 0-0-0-0-1, 0-0-0-0-2, 0-0-0-1-0",
    ]


def test_cells_outside_a_subset_are_not_invalid(tmp_path: Path) -> None:
    space, whole = NasBench201(subset="conv_only"), NasBench201()
    inside = space.format((0, 1, 0, 1, 0, 1))
    rows = [f"{inside},0.9", f"{whole.format((0, 0, 0, 0, 0, 0))},0.1", "|odd~0|,0.5"]
    found = match(["0-1-0-1-0-1"], space, table(tmp_path, *rows))
    assert found.truth == [0.9]
    assert (found.outside.count, found.invalid.count, found.missing.count) == (1, 1, 0)
    assert found.lines()[0] == (
        f"1 architecture of the benchmark is outside this subset, e.g. {whole.format((0, 0, 0, 0, 0, 0))}"
    )


def test_all_cells_are_matched_within_seconds(shared_data: Path) -> None:
    space, benchmark = NasBench201(), Cells(str(shared_data / "nas_bench_201.csv"))
    accuracies = benchmark.accuracies()
    started = time.monotonic()
    found = match([*accuracies], space, benchmark)
    assert time.monotonic() - started < 10  # a second alone
    assert found.truth == [*accuracies.values()]
    assert found.lines() == []
    part = match([space.format((1, 1, 1, 1, 1, 1))], NasBench201(subset="no_none"), benchmark)
    assert (part.missing.count, part.outside.count, part.invalid.count) == (4095, 15625 - 4096, 0)


def test_a_benchmark_of_another_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none of the 1 predicted .* truth: .*another space"):
        match(["0-0-0-0-0"], Mini(), table(tmp_path, "02012100,0.5", "11111221,0.6"))


def test_a_prediction_of_another_space_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"prediction '0-0-0' is not an architecture of mini: .*5 layers"):
        match(["0-0-0-0-0", "0-0-0"], Mini(), table(tmp_path, "0-0-0-0-0,0.5"))


def test_predictions_keep_leading_zeros_and_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("path,arch,accuracy,loss,seed\n0-2-0-1-2-1-0-0,02012100,0.5,1.25,3\n,0-0-0-0-0-0-0-0,1,2,4\n")
    frame = read_predictions(str(path), NasBenchMacro()).frame
    assert frame["arch"].tolist() == ["02012100", "00000000"]
    assert frame["accuracy"].tolist() == [0.5, 1.0]
    assert frame["accuracy"].dtype == frame["loss"].dtype == float
    assert frame["seed"].tolist() == [3, 4]
    assert frame["path"][0] == "0-2-0-1-2-1-0-0"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a CSV table"),
        ("\x00\x01\x02", "no column 'arch'|not a CSV table"),
        ("arch,top1,loss\n0-0-0-0-0,1,1\n", "no column 'accuracy': it has arch, top1, loss"),
        ("path,accuracy\n0-0-0-0-0,1\n", "no column 'arch': it has path, accuracy"),
        ("arch,accuracy\n", "no predictions"),
        ("arch,accuracy\n0-0-0-0-0,1\n0-0-0-0-1,high\n", "line 3: accuracy 'high' is not a number"),
        ("arch,accuracy\n0-0-0-0-0,\n", "no prediction with a finite accuracy"),
        ("arch,accuracy\n0-0-0-0-0,inf\n", "no prediction with a finite accuracy"),
        ("arch;accuracy\n0-0-0-0-0;0,5\n0-0-0-0-1;high\n", "line 3: accuracy 'high' is not a number"),
        ('{"arch": [' + '"0-0-0-0-0", ' * 9000 + '"0-0-0-0-1"]}', "not a CSV table but JSON: write a header"),
        ('[{"arch": "0-0-0-0-0", "accuracy": 0.5}]', "not a CSV table but JSON"),
        ("a" * 5000 + ",b\n1,2\n", "no column 'arch': it has a{80}, b$"),
        (",".join(f"c{i}" for i in range(99)) + "\n", r"c18, c19, \.\.\.$"),
        ("arch,accuracy\n0-0-0-0-0,1\n0-0-0-0-9,1\n", "line 3: prediction '0-0-0-0-9' is not an architecture of mini"),
        ("arch,accuracy\n,1\n", "line 2: prediction 'nan' is not an architecture of mini"),
        ("arch,accuracy\n0-0-0-0-0,1,2\n", "not a CSV table"),
        ("arch,accuracy\n0-0-0-0-0,1\n0-0-0-0-1,1,2\n", "not a CSV table"),
    ],
)
def test_wrong_files_are_refused_in_one_line(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=says) as error:
        read_predictions(str(path), Mini())
    assert len(str(error.value).splitlines()) == 1
    assert str(path) in str(error.value)


def test_a_missing_file_and_a_binary_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.csv: there is no such file"):
        read_predictions("nowhere.csv", Mini())
    (tmp_path / "image.png").write_bytes(bytes(range(256)))
    with pytest.raises(UsageError, match="not a CSV table"):
        read_predictions(str(tmp_path / "image.png"), Mini())


COMMAS = "arch,accuracy,loss\n0-0-0-0-0,0.5,1.25\n1-1-1-1-1,0.75,1\n"
AS_SPREADSHEETS_WRITE = {
    "semicolons": COMMAS.replace(",", ";").encode(),
    "semicolons and decimal commas": COMMAS.replace(",", ";").replace(".", ",").encode(),
    "tabs": COMMAS.replace(",", "\t").encode(),
    "tabs and decimal commas": COMMAS.replace(",", "\t").replace(".", ",").encode(),
    "mark": COMMAS.encode("utf-8-sig"),
    "wide": COMMAS.replace(",", "\t").encode("utf-16"),
    "returns": COMMAS.replace("\n", "\r\n").encode(),
    "lists": COMMAS.replace("0-0-0-0-0", '"[0, 0, 0, 0, 0]"').replace("1-1-1-1-1", '"(1,1,1,1,1)"').encode(),
    "lists between semicolons": b"arch;accuracy;loss\n[0, 0, 0, 0, 0];0,5;1,25\n[1 1 1 1 1];0,75;1\n",
}


@pytest.mark.parametrize("content", AS_SPREADSHEETS_WRITE.values(), ids=AS_SPREADSHEETS_WRITE.keys())
def test_files_of_spreadsheets_are_read(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    frame = read_predictions(str(path), Mini()).frame
    assert frame.arch.tolist() == ["0-0-0-0-0", "1-1-1-1-1"]
    assert frame.accuracy.tolist() == [0.5, 0.75] and frame.loss.tolist() == [1.25, 1.0]


def test_rows_without_a_finite_accuracy_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "proxies.csv"
    rows = "0-0-0-0-0,-inf\n0-0-0-0-1,0.5\n0-0-0-0-2,nan\n0-0-0-1-0,NaN\n0-0-0-1-1,\n0-0-0-1-2,inf\n0-0-0-2-0,1e400\n"
    path.write_text(f"arch,accuracy\n{rows}")
    frame, not_finite = read_predictions(str(path), Mini())
    assert frame.arch.tolist() == ["0-0-0-0-1"] and frame.accuracy.tolist() == [0.5]
    assert not_finite.count == 6 and not_finite.names == ("0-0-0-0-0", "0-0-0-0-2", "0-0-0-1-0")


def test_the_form_that_a_refusal_recommends_is_read() -> None:
    for text in ("[3, 3, 3, 3, 3, 3]", "[3,3,3,3,3,3]", "(3, 3, 3, 3, 3, 3)", "3-3-3-3-3-3", [3] * 6):
        assert NasBench201().parse(text) == (3,) * 6
    for text in ("[3, 3", "[3, x, 3, 3, 3, 3]", "[]", "3, 3, 3, 3, 3, 3"):
        with pytest.raises(UsageError):
            NasBench201().parse(text)
