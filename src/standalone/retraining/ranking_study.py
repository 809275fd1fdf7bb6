"""Stand-alone ranking (FairNAS 4.4 and B.2): paths of a supernet at equal one-shot distance, each trained alone.

models.csv holds the chosen paths, models/<path>/ the run of each, table.csv and result.json what came of it. k models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.analysis.ranking import summary
from src.analysis.report.figures import save
from src.analysis.report.study_figures import ranks_figure, training_figure
from src.analysis.spaced import evenly_spaced
from src.datasets.input_spec import InputSpec
from src.ranking.score_table import read_scores
from src.runtime.errors import UsageError
from src.runtime.loggers import finish_loggers, make_loggers, open_loggers
from src.runtime.provenance import store_provenance
from src.runtime.resume import store
from src.runtime.run_folder import METRICS, PROVENANCE, RESULT, SCORES, claim, replace_file, write_json
from src.search_spaces.space import SearchSpace
from src.standalone.retraining.build import input_of, names_of
from src.standalone.retraining.run import train_one
from src.standalone.retraining.study_table import gap, show
from src.supernet.path import format_path, parse_path

MODELS, TABLE = "models.csv", "table.csv"
CHOSEN = ["path", "arch", "one_shot", "params", "macs"]
TRUTHS = ("test", "val")


def carry_out(cfg: DictConfig, folder: Path) -> None:
    """Choose, train what is not trained yet, judge; a killed study goes on with the same command and folder."""
    chosen = choose(cfg, folder)
    lock = claim(folder)
    try:
        store(cfg, folder)
        store_provenance(folder, "see models/", cfg.choices.dataset)
        replace_file(folder / MODELS, chosen.to_csv(index=False, lineterminator="\n"))
        for i, row in enumerate(chosen.itertuples(), 1):
            print(f"model {i} of {len(chosen)}: {row.path}, one-shot accuracy {100 * float(row.one_shot):.1f} %")  # type: ignore[arg-type]
            train_one(_alone(cfg, str(row.path)), _folder_of(folder, str(row.path)), shown=False)
        _conclude(cfg, folder, chosen)
    finally:
        lock.close()


def choose(cfg: DictConfig, folder: Path) -> pd.DataFrame:
    """Rows (path, arch, one_shot, params, macs) in order of one-shot accuracy; those of an earlier start stay.

    Raises:
        UsageError: no such scores, none of the space, or too few of them.
    """
    if (folder / MODELS).exists():
        return pd.read_csv(folder / MODELS, dtype={"path": str, "arch": str})
    file = Path(cfg.study.scores or Path(cfg.run) / SCORES)
    if cfg.study.scores is None and not file.is_file():
        raise UsageError(
            f"{file}: there are no scores to choose by; finish the run: python -m src.train resume={cfg.run}"
        )
    space: SearchSpace = instantiate(cfg.search_space)
    scores = read_scores(file, space, cfg.study.bn).accuracy
    if len(scores) < cfg.study.count:
        raise UsageError(
            f"study.count={cfg.study.count}: {file} has {len(scores)} paths scored under study.bn={cfg.study.bn}"
        )
    input_spec, archs = input_of(instantiate(cfg.dataset)), list(scores)
    rows = evenly_spaced(list(scores.values()), cfg.study.count)
    return pd.DataFrame([_row(space, input_spec, archs[i]) | {"one_shot": scores[archs[i]]} for i in rows])[CHOSEN]


def _row(space: SearchSpace, input_spec: InputSpec, arch: str) -> dict[str, Any]:
    path = space.parse(arch)
    return {"path": format_path(path), "arch": arch, **space.costs(path, input_spec)._asdict()}


def _alone(cfg: DictConfig, path: str) -> DictConfig:
    """The configuration of one model's run."""
    alone = cfg.copy()
    alone.arch, alone.study = path, None
    return alone


def _folder_of(folder: Path, path: str) -> Path:
    return folder / "models" / path


def _conclude(cfg: DictConfig, folder: Path, chosen: pd.DataFrame) -> None:
    """Write table.csv, figures and result.json, and show one table."""
    results = [json.loads((_folder_of(folder, path) / RESULT).read_text()) for path in chosen.path]
    space: SearchSpace = instantiate(cfg.search_space)
    table = chosen.assign(**{part: [result[f"{part}_accuracy"] for result in results] for part in TRUTHS})
    counted = pd.DataFrame([space.counts(parse_path(path)) for path in table.path])
    table = table.join(counted)
    replace_file(folder / TABLE, table.round(6).to_csv(index=False, lineterminator="\n"))
    counts = {name: table[name] for name in ("params", "macs", *map(str, counted))}
    result = _facts(cfg, folder, results)
    for part in TRUTHS:
        result[part] = summary(table.one_shot, table[part], counts, cfg.seed) | gap(table.one_shot, table[part])
    _draw(cfg, folder, table, result)
    write_json(folder / RESULT, result)
    show(table, result, folder)


def _facts(cfg: DictConfig, folder: Path, results: list[dict[str, Any]]) -> dict[str, Any]:
    first = results[0]
    kept = ("search_space", "dataset", "recipe", "weights", "seed", "epochs", "device")
    return {
        "command": "retrain",
        "experiment": "standalone_ranking",
        "run": str(cfg.run),
        "bn": cfg.study.bn,
        **{key: first[key] for key in kept},
        "models": len(results),
        "backward_passes": sum(result["backward_passes"] for result in results),
        "wall_seconds": round(sum(result["wall_seconds"] for result in results), 1),
        "commit": json.loads((folder / PROVENANCE).read_text())["commit"],
    }


def _draw(cfg: DictConfig, folder: Path, table: pd.DataFrame, result: dict[str, Any]) -> None:
    """Figures as FairNAS's 8 and 10, as files and as W&B media, with the figures of the ranking."""
    curves = [pd.read_csv(_folder_of(folder, path) / METRICS) for path in table.path]
    drawn = {
        "ranks": save(
            ranks_figure(table.one_shot, table.test, result["test"]["tau"]), folder / "figures" / "ranks.png"
        ),
        "training": save(training_figure(curves, table.one_shot), folder / "figures" / "training.png"),
    }
    loggers = make_loggers(cfg.logger.wandb, folder, names_of(cfg))
    open_loggers(loggers, OmegaConf.to_container(cfg, resolve=True), folder)
    for logger in loggers:
        for name, path in drawn.items():
            logger.log_image(f"standalone/{name}", [str(path)])
        found = {f"standalone/tau_{part}": result[part]["tau"]["value"] for part in TRUTHS}
        found["standalone/gap"] = result["test"]["gap"]
        logger.log_metrics({key: value for key, value in found.items() if value is not None})
    finish_loggers(loggers)
