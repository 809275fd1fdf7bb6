"""The contents of result.json, a dataclass per command.

The classes stand here, below all rooms, so that a report reads what another command wrote without importing that
command; those of bench, describe and of a study of spaces, which nothing reads back, stand where they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from src.runtime.result import Result


@dataclass(frozen=True, kw_only=True)
class RankingResult(Result):
    """Scores of a supernet's paths and how well they order the paths, as `train` and `rank` both write them."""

    search_space: str
    dataset: str | None = None
    sampler: str | None = None
    steps: int | None = None
    """Supernet steps behind the weights."""
    ranked_by: str
    """The score that orders the paths: one of run_folder.RANK_BY."""
    scores: dict[str, dict[str, float]]
    """BN protocol (or `as given`) -> paths, images, and mean, std, min, max of both scores: accuracy_mean, ..."""
    benchmark: str | None = None
    match: dict[str, Any] | None = None
    """Architectures that the scores and the benchmark do not have in common, counted."""
    ranking: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """BN protocol -> score, `ranked_by` first -> subset, `all` first -> analysis.ranking.summary; {} without truth."""
    ceiling: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """Subset -> noise ceiling of the benchmark, {value, kind}."""
    gap: dict[str, dict[str, float]] = field(default_factory=dict)
    """BN protocol -> supernet accuracy gap, {one_shot_range, alone_range, gap} (FairNAS section 4.5)."""
    figures: list[str] = field(default_factory=list)
    scoring_seconds: float | None = None
    """Seconds that this start of the command scored; paths scored before cost none."""
    block_evaluations: int | None = None
    """Choice blocks run to score the paths in this start, each on all images."""


@dataclass(frozen=True, kw_only=True)
class TrainResult(RankingResult):
    """A trained supernet."""

    command: ClassVar[str] = "train"
    epochs: float
    way: str
    """How the supernet step was executed: serial, window or compiled."""
    budget: dict[str, Any]
    preprocessing: dict[str, Any] | None = None
    """From an image file to pixels, as in RetrainResult."""
    read: dict[str, Any] = field(default_factory=dict)
    """classes, images of each part, and files passed over by kind."""
    count_spread: int
    """Largest difference between the update counts of two choices of one layer."""
    parameter_free_share: float | None = None
    """Share of the chosen operations' passes that ran one without parameters; None in older runs."""
    scoring: dict[str, Any] = field(default_factory=dict)
    """Conditions of the scores: images, calibration_images and batch_size, which moves those of `recalibrate` too."""


@dataclass(frozen=True, kw_only=True)
class RankResult(RankingResult):
    """Paths scored by a trained supernet, or predictions made elsewhere."""

    command: ClassVar[str] = "rank"
    run: str | None = None
    """The supernet's run folder."""
    members: list[dict[str, Any]] | None = None
    """Of an ensemble: run folder of each supernet, and its tau alone by protocol."""
    self_consistency: dict[str, Any] | None = None
    """Of an ensemble: agreement of its supernets' accuracies, by protocol."""
    source: str | None = None
    """The file of predictions."""
    repeated_rows: int = 0
    """Rows of that file that repeat an architecture."""
    not_finite: dict[str, Any] = field(default_factory=lambda: {"count": 0, "examples": []})
    """Rows of that file without a finite accuracy, which were left out."""
    settings: dict[str, Any] = field(default_factory=dict)
    """The command's whole configuration."""


@dataclass(frozen=True, kw_only=True)
class SearchResult(Result):
    """A finished search: the front by the searcher's own scores, and what it is worth by the truth."""

    command: ClassVar[str] = "search"
    first_schema: ClassVar[int] = 1
    searcher: str
    search_space: str
    evaluator: str
    """Source of the scores: supernet, scores (a table) or truth."""
    scoring: dict[str, Any] = field(default_factory=dict)
    """Conditions of a supernet's scores: bn, images, calibration_images, batch_size; empty for a table's."""
    objectives: list[str]
    limit: dict[str, float | list[float]]
    """Cost -> its upper limit, or both ends of a window."""
    select: int
    """Networks asked for by `select`."""
    selected: list[str] = field(default_factory=list)
    """Arch strings of the networks selected from the front."""
    generations: int
    ended: str
    """Why the search ended."""
    models: int
    """Distinct networks scored."""
    front: int
    """Networks on the front."""
    hypervolume: float
    """Of the front, within the objectives' bounds, as a share of all of it."""
    true_hypervolume: float | None
    """Of the same networks by their truth, as a share of the true front's; None where no truth is known."""
    true_front: dict[str, Any] | None
    """The true front's hypervolume, and the bounds `low` and `high` by which it is scaled."""


@dataclass(frozen=True, kw_only=True)
class RetrainResult(Result):
    """One network trained alone: all that a user of its weights needs to know, and what it reaches."""

    command: ClassVar[str] = "retrain"
    arch: str
    path: str
    search_space: str
    params: int
    macs: int
    dataset: str
    input: dict[str, int]
    mean: list[float]
    std: list[float]
    classes: list[str]
    preprocessing: dict[str, Any] | None = None
    """From an image file to pixels: datasets.preprocessing.Preprocessing.as_dict."""
    read: dict[str, Any] = field(default_factory=dict)
    """As in TrainResult."""
    recipe: str
    weights: str
    """scratch, or inherited from a supernet."""
    run: str | None
    """The supernet's run folder."""
    ema: float | None
    drop_path_blocks: int
    steps: int
    epochs: float
    batch_size: int
    val_accuracy: float
    test_accuracy: float
    raw_val_accuracy: float | None = None
    """Of the weights as they are, where a moving average is the final network."""
    val_images: int | None = None
    test_images: int | None = None


@dataclass(frozen=True, kw_only=True)
class StudyResult(Result):
    """Several paths of a supernet trained alone and ranked (experiment=standalone_ranking)."""

    command: ClassVar[str] = "retrain"
    experiment: str = "standalone_ranking"
    run: str
    bn: str
    search_space: str
    dataset: str
    recipe: str
    weights: str
    epochs: float
    models: int
    test: dict[str, Any]
    """analysis.ranking.summary of one-shot accuracy against test accuracy alone, and the accuracy gap."""
    val: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ExportResult(Result):
    """A network written as files; up to `onnx_reads` also the contents of meta.json."""

    command: ClassVar[str] = "export"
    name: str
    search_space: str
    path: str
    arch: str
    weights: str
    """Where they come from, in words."""
    input: dict[str, int]
    """in_channels, num_classes, image_size."""
    classes: list[str] | None
    mean: Sequence[float] | None
    std: Sequence[float] | None
    preprocessing: dict[str, Any] | None
    """From an image file to pixels: settings, and each step in words; None where it is unknown."""
    params: int
    macs: int
    levels: list[dict[str, Any]]
    """timm's feature_info: num_chs, reduction and module of each level."""
    onnx_reads: str | None
    """`uint8 pixels` or `normalised float32`; None without an ONNX file."""
    files: dict[str, int]
    """Name -> bytes."""
    differences: dict[str, dict[str, float]]
    """Kind of images -> `largest logit` of the network, and format -> largest difference of a logit from it."""
    write_seconds: dict[str, float]
    """Format -> seconds."""
    speed: dict[str, float] | None
    """torch_ms and onnxruntime_ms per image on one thread, and their ratio; None where not measured."""


@dataclass(frozen=True, kw_only=True)
class GroundTruthResult(Result):
    """Networks of a space trained alone, and rank correlations (Kendall's tau) that say how far the table is true."""

    command: ClassVar[str] = "ground_truth"
    search_space: str
    dataset: str
    paths: int
    """Networks that were trained."""
    space: dict[str, int] | None
    """Of the whole space: `paths`, `distinct` networks, and paths that are `dead` or `repeated`; None: too large."""
    seeds: int
    """Trainings of each network."""
    accuracy_min: float
    accuracy_max: float
    split_half_tau: float
    """Between the means of two halves of the seeds."""
    validation_tau: float
    """Between validation and test accuracy."""
    baselines: dict[str, float]
    """Name of what is counted in an architecture -> tau with test accuracy."""


@dataclass(frozen=True, kw_only=True)
class ReportResult(Result):
    """Tables, figures and one page made from runs or searches; `commit` is that of the report's own code."""

    command: ClassVar[str] = "report"
    runs: dict[str, int]
    """finished and unfinished."""
    commits: dict[str, int]
    """Commit -> runs begun or resumed at it."""
    bn: str | None = None
    """The batch-norm protocol of the main table; None for searches."""
    page: str
    figures: list[str]
    comparisons: list[dict[str, Any]] | dict[str, list[dict[str, Any]]]
    """Of training runs a list of comparisons, of searches evaluator -> one row per searcher."""
