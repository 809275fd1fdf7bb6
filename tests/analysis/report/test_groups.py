import itertools
from pathlib import Path
from typing import Any

import pytest

from src.analysis.report.groups import budget, check_commits, flatten, group_runs
from src.analysis.report.runs import find_runs
from src.analysis.report.style import COLOURS, colours, label, order
from src.runtime.errors import UsageError
from src.runtime.run_folder import PROVENANCE
from tests.analysis.report.made_runs import make_run, make_sweep, make_variants


def test_samplers_and_seeds_are_one_comparison(tmp_path: Path) -> None:
    make_sweep(tmp_path, seeds=2)
    (group,) = group_runs(find_runs(tmp_path))
    assert group.title == "mini on digits, 12 epochs"
    assert {method: [run.seed for run in runs] for method, runs in group.methods.items()} == {
        "strict_fair": [0, 1],
        "spos": [0, 1],
        "ef": [0, 1],
        "ef_scaled": [0, 1],
    }
    assert list(group.methods) == ["strict_fair", "spos", "ef", "ef_scaled"]


@pytest.mark.parametrize(
    "changes, title",
    [
        ({"choices__search_space": "nas_bench_macro"}, "nas_bench_macro on digits, 12 epochs"),
        ({"choices__dataset": "cifar10"}, "mini on cifar10, 12 epochs"),
        ({"budget__epochs": None, "budget__backward_passes": 3600}, "mini on digits, 3,600 backward passes"),
        ({"budget__epochs": 24}, "mini on digits, 24 epochs"),
        ({"optimizer__lr": 0.1}, "mini on digits, 12 epochs, optimizer.lr=0.1"),
    ],
)
def test_what_is_not_comparable_gets_a_table_of_its_own(tmp_path: Path, changes: dict[str, Any], title: str) -> None:
    make_run(tmp_path / "a", "spos", 0)
    make_run(tmp_path / "b", "spos", 0, **changes)
    groups = group_runs(find_runs(tmp_path))
    assert len(groups) == 2
    assert title in [group.title for group in groups]
    assert len({group.slug for group in groups}) == 2


def test_a_varied_setting_of_the_sampler_is_part_of_the_method(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "strict_fair", 0, sampler__irregular="pad")
    make_run(tmp_path / "b", "strict_fair", 0, sampler__irregular="deck")
    make_run(tmp_path / "c", "spos", 0)
    (group,) = group_runs(find_runs(tmp_path))
    assert list(group.methods) == ["strict_fair (irregular=deck)", "strict_fair (irregular=pad)", "spos"]


def test_a_setting_that_follows_the_table_is_not_part_of_the_method(tmp_path: Path) -> None:
    """A sampler may hold a copy of a value that is a table's own, as the target of a network space search."""
    for target, largest in itertools.product((4e5, 8e5), (True, False)):
        settings: dict[str, Any] = {
            "cost__target": target,
            "sampler__cost__target": target,
            "sampler__largest": largest,
        }
        make_run(tmp_path / f"{target}_{largest}", "network_space_search", 0, **settings)
    groups = group_runs(find_runs(tmp_path))
    assert [group.title.rpartition(", ")[2] for group in groups] == ["cost.target=400000.0", "cost.target=800000.0"]
    for group in groups:
        assert set(group.methods) == {f"network_space_search (largest={value})" for value in (True, False)}


def test_the_order_of_images_is_part_of_the_method(tmp_path: Path) -> None:
    learnt: dict[str, Any] = {
        "choices__order": "data_importance",
        "order___target_": "x.DataImportance",
        "order__draw": "iid",
    }
    make_run(tmp_path / "a", "spos", 0)
    make_run(tmp_path / "b", "spos", 0, choices__order="shuffle", order___target_="src.datasets.orders.Shuffle")
    make_run(tmp_path / "c", "spos", 0, **learnt)
    make_run(tmp_path / "d", "path_importance", 0, **learnt, step__unsampled="drifting")
    (group,) = group_runs(find_runs(tmp_path))
    assert {method: len(runs) for method, runs in group.methods.items()} == {
        "spos": 2,
        "spos+data_importance": 1,
        "path_importance+data_importance": 1,
    }
    assert [label(method) for method in group.methods] == ["SPOS", "DA", "PA&DA"]
    assert group.confounded == ("step.unsampled",)
    # a setting of the order that varies is named, as one of the sampler is
    make_run(tmp_path / "e", "spos", 0, **learnt | {"order__draw": "systematic"})
    (group,) = group_runs(find_runs(tmp_path))
    assert "spos+data_importance (order.draw=systematic)" in group.methods


def test_seeds_loggers_and_output_settings_do_not_split(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0, logger__wandb=True, dataset__split_seed=0)
    make_run(tmp_path / "b", "spos", 1, logger__wandb=None, dataset__split_seed=1, resume="b")
    assert len(group_runs(find_runs(tmp_path))) == 1


def test_a_setting_tied_to_the_sampler_is_reported(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0, optimizer__lr=0.1)
    make_run(tmp_path / "b", "strict_fair", 0)
    (group,) = group_runs(find_runs(tmp_path))
    assert group.confounded == ("optimizer.lr",)


def test_no_budget_means_the_epochs_of_the_recipe(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0, budget__epochs=None, recipe__epochs=60)
    assert budget(find_runs(tmp_path)[0]) == "60 epochs"


def test_mixed_commits_are_refused_by_name_unless_asked_for(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos",), seeds=3)
    make_run(tmp_path / "other", "ef", 0, commit="b" * 40)
    runs = find_runs(tmp_path)
    with pytest.raises(UsageError) as refused:
        check_commits(runs)
    line = str(refused.value)
    assert "aaaaaaaaaa (3 runs), bbbbbbbbbb (1 run)" in line and "mix_commits=true" in line and "\n" not in line
    assert check_commits(runs, mix_commits=True) == {"a" * 40: 3, "b" * 40: 1}


def test_a_run_without_a_commit_counts_once_it_is_finished(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0)
    started = make_run(tmp_path / "b", "spos", 1, finished=False)
    (started / PROVENANCE).unlink()
    assert check_commits(find_runs(tmp_path)) == {"a" * 40: 1}
    make_run(tmp_path / "c", "spos", 2, commit=None)
    with pytest.raises(UsageError, match=r"unknown \(1 run\)"):
        check_commits(find_runs(tmp_path))


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": [2, 3]}, "d": None}) == {"a.b": 1, "a.c": [2, 3], "d": None}


def test_a_sampler_keeps_its_colour_in_any_company() -> None:
    assert colours(["spos"])["spos"] == colours(["newcomer", "ef", "spos"])["spos"] == COLOURS["spos"]
    many = colours([f"newcomer (k={k})" for k in range(30)])
    assert len(many) == 30
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_methods_are_named_and_ordered_for_readers() -> None:
    assert order(["zeta", "ef", "alpha", "strict_fair (irregular=pad)", "spos"]) == [
        "strict_fair (irregular=pad)",
        "spos",
        "ef",
        "alpha",
        "zeta",
    ]
    assert label("strict_fair (irregular=pad)") == "Strict fairness (irregular=pad)"
    assert label("newcomer") == "newcomer"


def test_inter_choice_weights_are_methods_of_one_comparison(tmp_path: Path) -> None:
    make_variants(tmp_path, ("none", "split_70", "bias_2", "bias"), seeds=1)
    make_run(tmp_path / "as_bias_2", "spos", 1, inter_choice="bias", inter_choice__depth=2)
    make_run(tmp_path / "older", "spos", 1)
    (group,) = group_runs(find_runs(tmp_path))
    assert group.title == "mini on digits, 12 epochs" and group.confounded == ()
    assert {method: [run.seed for run in runs] for method, runs in group.methods.items()} == {
        "spos": [0, 1],
        "spos, bias D=1": [0],
        "spos, bias D=2": [0, 1],
        "spos, split at 70 %": [0],
    }


def test_each_sampler_is_compared_with_itself_without_weights(tmp_path: Path) -> None:
    for sampler in ("spos", "strict_fair"):
        make_run(tmp_path / f"{sampler}-none", sampler, 0, inter_choice="none")
        make_run(tmp_path / f"{sampler}-bias", sampler, 0, inter_choice="bias")
    make_run(tmp_path / "ef-bias", "ef", 0, inter_choice="bias")
    (group,) = group_runs(find_runs(tmp_path))
    assert {method: group.reference(method) for method in group.methods} == {
        "strict_fair": None,
        "strict_fair, bias D=1": "strict_fair",
        "spos": None,
        "spos, bias D=1": "spos",
        "ef, bias D=1": None,
    }


def test_without_weights_the_reference_is_strict_fairness(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "strict_fair"), seeds=1)
    (group,) = group_runs(find_runs(tmp_path))
    assert (group.reference("spos"), group.reference("strict_fair")) == ("strict_fair", None)


def test_weights_that_all_runs_share_are_in_the_title(tmp_path: Path) -> None:
    make_sweep(tmp_path, ("spos", "strict_fair"), seeds=1, inter_choice="bias_2")
    (group,) = group_runs(find_runs(tmp_path))
    assert group.title == "mini on digits, 12 epochs, bias D=2"
    assert list(group.methods) == ["strict_fair", "spos"]


def test_a_setting_tied_to_the_weights_is_reported(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "spos", 0, inter_choice="none")
    make_run(tmp_path / "b", "spos", 0, inter_choice="bias", optimizer__lr=0.1)
    (group,) = group_runs(find_runs(tmp_path))
    assert group.confounded == ("optimizer.lr",)


def test_variants_are_ordered_by_kind_and_number_with_a_colour_each() -> None:
    expected = ["spos", "spos, bias D=1", "spos, bias D=2", "spos, split at epoch 75", "spos, split at epoch 125"]
    assert order(reversed(expected)) == expected
    assert label("spos, bias D=2") == "SPOS, bias D=2"
    variants = [f"{sampler}, bias D={depth}" for sampler in ("spos", "ef") for depth in range(1, 4)]
    palette = colours([*variants, *expected, "strict_fair"])
    assert len(set(palette.values())) == len(palette)
    assert palette["spos"] == COLOURS["spos"]
