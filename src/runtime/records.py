"""A run's record at W&B or as TensorBoard's event files: the same calls, each doing what its viewer can show.

Imported where a record is made: both packages take a second.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import wandb
from PIL import Image
from pytorch_lightning.loggers import TensorBoardLogger, WandbLogger

from src.runtime.loggers import TENSORBOARD, WANDB_ID
from src.runtime.run_folder import replace_file

GLOBAL_STEP = "trainer/global_step"
"""Lightning's name of the step that it logs beside the metrics."""
DATA_DIR = "WANDB_DATA_DIR"
"""Where W&B keeps copies of an artifact's files until they are uploaded; by default below the home directory."""
SMALL = 10**6
"""Bytes up to which W&B copies a file of an artifact; a larger one is read where it lies when it is uploaded."""


class WandbRecord(WandbLogger):
    """Lightning's logger with the axis of its command, tables, pages and artifacts."""

    def __init__(self, folder: Path, axis: str, sections: Sequence[str], offline: bool, **settings: Any) -> None:
        """
        Args:
            folder: of the run.
            axis: the metric that charts are drawn over.
            sections: of metrics, `train` for `train/loss`, that are drawn over it.
            offline: write files only.
            settings: of WandbLogger and wandb.init.
        """
        super().__init__(name=folder.name, save_dir=str(folder), resume="allow", offline=offline, **settings)
        self._wandb_init.pop("anonymous", None)  # Lightning passes it on, and W&B warns that it does nothing
        self.folder, self.axis, self.sections, self.offline = folder, axis, tuple(sections), offline
        self.last_step = -1
        """The last one that W&B has of an earlier start of this run."""

    def begin(self, config: Any) -> None:
        """Start, or go on with, the run of this id; its charts are drawn over the axis."""
        # a sweep's jobs share a process, and each keeps its own copies; a place that the user named stays
        if os.environ.get(DATA_DIR, "") in ("", os.environ.get(f"FAIRPATH_{DATA_DIR}", "")):
            os.environ[DATA_DIR] = os.environ[f"FAIRPATH_{DATA_DIR}"] = str(self.folder / "wandb")
        # started here, for Lightning would draw all charts over its own steps, too, and viewers take either
        if self._experiment is None:
            self._experiment = wandb.init(**self._wandb_init, mode="offline" if self.offline else None)
        # its name on disk, by which it goes on
        self.log_hyperparams(config)
        run = self.experiment
        replace_file(self.folder / WANDB_ID, str(self.version))
        if getattr(run, "resumed", False) and not self.offline:
            self.last_step = int(run.summary.get(GLOBAL_STEP, -1))
        # supernet steps are not alike from one sampler to another, so charts are over the command's own cost
        run.define_metric(self.axis)
        for section in self.sections:
            run.define_metric(f"{section}/*", step_metric=self.axis)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row, unless W&B has it from before the run was stopped: what follows a checkpoint is measured again."""
        # W&B's summary has keys, and no test of membership
        if step is not None and step <= self.last_step and metrics.keys() <= set(self.experiment.summary.keys()):
            return
        super().log_metrics(dict(metrics), step)

    def log_picture(self, name: str, path: Path) -> None:
        """Show a PNG."""
        self.log_image(name, [str(path)])

    def log_rows(self, name: str, table: pd.DataFrame) -> None:
        """Show a table that can be sorted and filtered."""
        self.experiment.log({name: wandb.Table(dataframe=table)})

    def log_page(self, name: str, path: Path) -> None:
        """Show an HTML page."""
        self.experiment.log({name: wandb.Html(path.read_text(), inject=False)})

    def log_files(self, kind: str, files: Sequence[Path], parents: Sequence[str]) -> None:
        """Keep files as the artifact `<kind>-<id of the run>`, made from the artifacts `parents`.

        Online the parents are its lineage, but for those that the server does not know, such as of a run that was not
        uploaded. Offline W&B draws none. The artifact's metadata name them all.
        """
        artifact = wandb.Artifact(f"{kind}-{self.version}", type=kind, metadata={"parents": list(parents)})
        for path in files:
            artifact.add_file(str(path), policy="mutable" if path.stat().st_size <= SMALL else "immutable")
        # lineage is drawn by the server
        for parent in () if self.offline else parents:
            try:
                self.experiment.use_artifact(f"{parent}:latest")
            except (ValueError, wandb.Error) as error:
                print(f"warning: W&B: no lineage from {parent}: {error}")
        logged = self.experiment.log_artifact(artifact)
        if not self.offline:  # the next one may be made from it
            logged.wait()

    def end(self) -> None:
        """End the run, or the next job of a sweep would go on with it."""
        wandb.finish()


class BoardRecord(TensorBoardLogger):
    """TensorBoard's event files in `<run folder>/tensorboard`: curves over the axis of the command, and pictures."""

    def __init__(self, folder: Path, axis: str) -> None:
        """
        Args:
            folder: of the run.
            axis: the metric whose value is the step of all curves.
        """
        # a run that goes on writes its whole curve again, and what lies there is set aside
        super().__init__(save_dir=str(folder), name="", version=TENSORBOARD, purge_step=0)
        self.axis, self.at, self.offline = axis, 0, True

    def begin(self, config: Any) -> None:
        """Store the configuration as text."""
        self.log_hyperparams(config)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row at its value of the axis, or at the last one."""
        self.at = int(metrics.get(self.axis, self.at))
        super().log_metrics(dict(metrics), self.at)

    def log_picture(self, name: str, path: Path) -> None:
        """Show a PNG."""
        with Image.open(path) as image:
            self.experiment.add_image(name, np.asarray(image.convert("RGB")), self.at, dataformats="HWC")

    def log_rows(self, name: str, table: pd.DataFrame) -> None:
        """Nothing: TensorBoard has no tables."""

    def log_page(self, name: str, path: Path) -> None:
        """Nothing: TensorBoard has no pages."""

    def log_files(self, kind: str, files: Sequence[Path], parents: Sequence[str]) -> None:
        """Nothing: TensorBoard keeps no files."""

    def end(self) -> None:
        """Write what is left."""
        self.finalize("success")
