"""Ensembles: the scores of several supernets of one space, averaged (inter-choice weights, appendix F).

Every supernet keeps its own scores, in its own folder, so that a killed ensemble goes on and a larger one scores only
what is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from src.analysis.consistency import self_consistency
from src.ranking.build import SupernetRanking, build_supernet_ranking
from src.ranking.comparison import Comparison
from src.ranking.rank_run import compared, locked, score_all, score_tables, write_ranking
from src.ranking.ranking_table import number
from src.ranking.score_table import ScoringProcesses
from src.runtime.errors import UsageError
from src.runtime.result import figures_table
from src.runtime.resume import first_difference, leaves, store
from src.runtime.run_folder import CONFIG, LEARNT, RANK_BY, RESULT, SCORES, claim, replace_file
from src.runtime.stored_run import load_config, read_config, split_digest

SAME = ("search_space", "dataset", "image_size")
"""Sections on which the members of an ensemble may not differ."""


@dataclass(frozen=True)
class Ensemble:
    """The supernets of an ensemble, and where its ranking goes."""

    cfg: DictConfig
    runs: tuple[str, ...]
    overrides: Sequence[str]
    folder: Path


def members(run: Any) -> list[str]:
    """The run folders that `run=` names: one, a list of them, or the finished ones of a sweep's folder.

    Raises:
        UsageError: a folder without a training run, or a list without a run.
    """
    listed = [run] if isinstance(run, str) else [str(each) for each in run]
    folders: list[str] = []
    for each in listed:
        folder = Path(each)
        # a sweep has no configuration of its own
        if (folder / CONFIG).exists() or not (inner := finished_runs(folder)):
            folders.append(each)
        else:
            folders += inner
    if not folders:
        raise UsageError("run=[]: give the folder of a training run, or several")
    return list(dict.fromkeys(folders))


def finished_runs(sweep: Path) -> list[str]:
    """The finished training runs in a sweep's folder, which may hold a ranking of them too."""
    configs = sorted(path for path in sweep.glob(f"*/{CONFIG}") if (path.parent / RESULT).exists())
    return [str(path.parent) for path in configs if load_config(path).command == "train"]


def common_setting(runs: Sequence[str], key: str, asked: Any, say: str) -> Any:
    """`asked`, or if that is None the value of `ranking.<key>` that all runs have; `say` is how to ask for one.

    Raises:
        UsageError: their values differ, so that a mean of their scores would mix two scales or two orders.
    """
    own = {run: read_config(Path(run), "train").ranking[key] for run in runs}
    if asked is None and len(set(own.values())) > 1:
        listed = ", ".join(
            f"{value:g}" if isinstance(value, float) else str(value) for value in dict.fromkeys(own.values())
        )
        raise UsageError(f"run: ranking.{key} of these is {listed}: say which with {say}")
    return own[runs[0]] if asked is None else asked


def check_members(runs: Sequence[str]) -> None:
    """Refuse supernets whose scores have no common meaning.

    Raises:
        UsageError: another space or data set than the first, or other images held out.
    """
    first = runs[0]
    wanted, split = leaves(read_config(Path(first), "train")), split_digest(Path(first))
    for run in runs[1:]:
        # the same networks, on the same kind of images
        difference = first_difference(leaves(read_config(Path(run), "train")), wanted, SAME)
        if difference is not None:
            key, own, theirs = difference
            raise UsageError(f"run: {run} has {key}={own}, {first} {theirs}: an ensemble is of one space and data set")
        # and the same images held out, or scores are of other images
        if split_digest(Path(run)) != split:
            raise UsageError(f"run: {run} and {first} hold out other images: an ensemble is of runs of one split")


def rank_ensemble(ensemble: Ensemble, processes: ScoringProcesses) -> None:
    """Score the paths by each supernet, then rank them by the mean of the scores."""
    cfg, runs = ensemble.cfg, ensemble.runs
    for key, asked in (("proxies", bool(cfg.proxies)), ("similarity.layer", cfg.similarity.layer is not None)):
        if asked:
            raise UsageError(f"{key}= is of one run: leave it out of an ensemble")
    check_members(runs)
    cfg.temperature = common_setting(runs, "temperature", cfg.temperature, "temperature=<number>")
    cfg.by = common_setting(runs, "by", cfg.by, f"by={'|'.join(RANK_BY)}")
    tables, ranking = {}, None
    for place, run in enumerate(ensemble.runs, 1):
        # scored in its own folder, where other ensembles use it too; under out=, other images or protocols have room
        out = f"{ensemble.cfg.out}/supernet_{place}" if ensemble.cfg.out else None
        member = OmegaConf.merge(ensemble.cfg, {"run": run, "out": out, "proxies": []})
        assert isinstance(member, DictConfig)
        if processes.rank == 0:
            print(f"supernet {place} of {len(ensemble.runs)}: {run}", flush=True)
        ranking = build_supernet_ranking(member, ensemble.overrides, processes)
        with locked(ranking.folder, processes):
            score_all(ranking, processes)
            tables[run] = score_tables(ranking) if processes.rank == 0 else {}
    if processes.rank == 0 and ranking is not None:
        with claim(ensemble.folder):
            write_ensemble(ensemble, ranking, tables)


def write_ensemble(ensemble: Ensemble, ranking: SupernetRanking, tables: dict[str, dict[str, pd.DataFrame]]) -> None:
    """Rank by the mean, beside every member; `ranking` is that of one of them."""
    # the means, as a ranking of one supernet has its scores
    comparison, settings, folder = compared(ranking), ranking.settings, ensemble.folder
    means = {protocol: mean_of([each[protocol] for each in tables.values()]) for protocol in ranking.protocols}
    store(ensemble.cfg, folder, "rank")
    replace_file(folder / SCORES, pd.concat([t.assign(bn=bn) for bn, t in means.items()]).to_csv(index=False))
    # each supernet alone, and how far they agree
    about = [{"run": run, "tau": taus(comparison, own, settings.by)} for run, own in tables.items()]
    consistency = {protocol: agreement(tables, protocol) for protocol in means}
    facts = {
        "sampler": ranking.trained.cfg.choices.sampler,
        "search_space": ranking.trained.cfg.choices.search_space,
        "dataset": ranking.trained.dataset.name,
        "members": about,
        "self_consistency": consistency,
    }
    write_ranking(settings, folder, comparison, means, facts, [])
    show_members(about, consistency, settings.by)
    print(f"folder: {folder}")


def mean_of(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean of each path's scores over the supernets; costs and the truth are those of the first."""
    first = tables[0].drop(columns=[*LEARNT, "supernet", "sampler", "seed"])
    stacked = pd.concat(tables).groupby("arch", sort=False)[list(LEARNT)].mean()
    return first.merge(stacked.reset_index(), on="arch", validate="1:1")


def taus(comparison: Comparison | None, tables: dict[str, pd.DataFrame], by: str) -> dict[str, float | None]:
    """Tau of one supernet's scores by protocol; empty without truth."""
    return {} if comparison is None else {protocol: comparison.tau(table, by) for protocol, table in tables.items()}


def agreement(tables: dict[str, dict[str, pd.DataFrame]], protocol: str) -> dict[str, Any] | None:
    """Self-consistency of the supernets' accuracies; None of one alone."""
    if len(tables) < 2:
        return None
    by_run = {run: own[protocol].set_index("arch")["accuracy"] for run, own in tables.items()}
    return self_consistency(pd.DataFrame(by_run))


def show_members(about: Sequence[dict[str, Any]], consistency: dict[str, Any], by: str) -> None:
    """Print tau of each supernet alone, and how far they agree."""
    protocols = list(consistency)
    rows = [
        (each["run"], *(number(each["tau"].get(protocol), ".3f") for protocol in protocols))
        for each in about
        if each["tau"]
    ]
    means = [(consistency[protocol] or {}).get("tau", {}).get("mean") for protocol in protocols]
    if any(mean is not None for mean in means):
        rows.append(("agreement of two, by accuracy", *(number(mean, ".3f") for mean in means)))
    Console().print(figures_table(f"tau by {by} of each supernet alone", rows, ("run", *protocols)))
