from pathlib import Path

import pytest

from src.analysis.report.runs import find_runs
from src.runtime.errors import UsageError
from src.runtime.run_folder import CONFIG, COUNTS, METRICS, PROVENANCE, RESULT, SCORES, write_json
from tests.analysis.report.made_runs import make_run


def test_runs_are_found_at_any_depth(tmp_path: Path) -> None:
    make_run(tmp_path / "spos-0", "spos", 0)
    make_run(tmp_path / "deep" / "er" / "ef-1", "ef", 1, finished=False)
    runs = find_runs(tmp_path)
    assert [(run.name, run.sampler, run.seed, run.finished) for run in runs] == [
        ("deep/er/ef-1", "ef", 1, False),
        ("spos-0", "spos", 0, True),
    ]
    assert (runs[0].search_space, runs[0].dataset, runs[0].commits) == ("mini", "digits", ["a" * 40])


def test_a_run_folder_itself_can_be_named(tmp_path: Path) -> None:
    make_run(tmp_path / "spos-0", "spos", 0)
    assert [run.name for run in find_runs(tmp_path / "spos-0")] == ["spos-0"]


def test_folders_of_other_commands_and_hidden_ones_are_passed_by(tmp_path: Path) -> None:
    run = make_run(tmp_path / "spos-0", "spos", 0)
    (run / ".hydra").mkdir()
    (run / ".hydra" / CONFIG).write_text((run / CONFIG).read_text())
    (tmp_path / "described").mkdir()
    (tmp_path / "described" / CONFIG).write_text("choices: {search_space: mini}\n")
    searched = make_run(tmp_path / "searched", "spos", 0)
    write_json(searched / RESULT, {"command": "search"})
    assert [run.name for run in find_runs(tmp_path)] == ["spos-0"]


def test_a_missing_folder_and_one_without_runs_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder") as missing:
        find_runs(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no training run") as empty:
        find_runs(tmp_path)
    assert "\n" not in str(missing.value) + str(empty.value)


@pytest.mark.parametrize("name", [CONFIG, RESULT])
def test_an_unreadable_file_is_named(tmp_path: Path, name: str) -> None:
    run = make_run(tmp_path / "spos-0", "spos", 0)
    (run / name).write_text("{ [")
    with pytest.raises(UsageError, match=name) as refused:
        find_runs(tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name, attribute", [(METRICS, "metrics"), (COUNTS, "counts"), (SCORES, "scores")])
def test_a_half_written_last_line_is_left_out(tmp_path: Path, name: str, attribute: str) -> None:
    run = make_run(tmp_path / "spos-0", "spos", 0)
    whole = len(getattr(find_runs(tmp_path)[0], attribute))
    with (run / name).open("a") as file:
        file.write("130,13.0,0.0")
    assert len(getattr(find_runs(tmp_path)[0], attribute)) == whole


@pytest.mark.parametrize("text", [None, "", "step,epo"])
def test_a_run_that_has_only_just_started_has_empty_tables(tmp_path: Path, text: str | None) -> None:
    run = make_run(tmp_path / "spos-0", "spos", 0, finished=False)
    for name in (METRICS, COUNTS):
        (run / name).unlink()
        if text is not None:
            (run / name).write_text(text)
    loaded = find_runs(tmp_path)[0]
    assert len(loaded.metrics) == len(loaded.counts) == len(loaded.scores) == 0


def test_paths_stay_text(tmp_path: Path) -> None:
    make_run(tmp_path / "spos-0", "spos", 0)
    assert find_runs(tmp_path)[0].scores["arch"].iloc[1] == "0-0-0-1"


def test_a_resume_adds_its_commit(tmp_path: Path) -> None:
    run = make_run(tmp_path / "spos-0", "spos", 0, finished=False)
    write_json(run / PROVENANCE, {"commit": "a", "dirty": False, "resumed": [{"commit": "b", "dirty": True}]})
    loaded = find_runs(tmp_path)[0]
    assert (loaded.commits, loaded.dirty) == (["a", "b"], True)
