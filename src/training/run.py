"""One training run as a whole: its parts, how it starts, trains up to its budget or a signal, and ends.

The training of a supernet and of a stand-alone network differ in their module and metrics, and in nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from src.datasets.dataset import Dataset, TrainLoader, in_words
from src.runtime.cpu_memory import keep_freed_memory
from src.runtime.elite_space import ELITE_SPACE
from src.runtime.errors import Interrupted, RunError
from src.runtime.interrupts import finishing
from src.runtime.loggers import finish_loggers, log_again, open_loggers
from src.runtime.provenance import store_provenance
from src.runtime.resume import cut_back_tables, store
from src.runtime.run_folder import METRICS, RESULT, SCORES, SPLIT, claim
from src.runtime.stored_run import checkpoint_path
from src.search_spaces.space import SearchSpace
from src.training.budget import Budget
from src.training.importance_writer import logged_epochs
from src.training.run_state import STATE, RunState


@dataclass(kw_only=True)
class Run:
    """The parts of one training run; `module` and the tables of `folder` say how far it is."""

    cfg: DictConfig
    """As it is stored in config.yaml."""
    folder: Path
    dataset: Dataset
    space: SearchSpace
    budget: Budget
    module: RunState
    loader: TrainLoader
    trainer: pl.Trainer
    writers: Sequence[pl.Callback]
    """The callbacks that write tables and logs; they go before the checkpoints'."""
    checkpoint: str = "last"
    """The checkpoint to resume from: last or previous."""
    threads: int = field(default_factory=torch.get_num_threads)
    """CPU threads: those the run was started with, since another number sums in another order."""
    threads_before: int = field(default_factory=torch.get_num_threads)
    """Restored by `close` for the next job of a sweep."""
    lock: ExitStack | None = None
    """Open while the folder is locked by this process."""

    @property
    def device(self) -> torch.device:
        """The device that is trained on."""
        return self.trainer.strategy.root_device

    @property
    def is_trained(self) -> bool:
        """True after its whole budget, or if it settled before."""
        return self.module.steps >= self.budget.steps or self.module.is_settled

    def is_finished(self) -> bool:
        """True if it is trained and its result is written."""
        return self.is_trained and (self.folder / RESULT).exists()

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Load the state of a checkpoint into module and loader; None: the run starts at step 0."""
        self.module.loader_state = self.loader.state_dict
        if saved is None:
            return
        self.threads = saved[STATE]["threads"]
        self.module.load_state_dict(saved["state_dict"])
        self.module.on_load_checkpoint(saved)
        self.loader.load_state_dict(saved[STATE]["loader"])

    def begin(self) -> None:
        """Lock the folder, store what the run is, and drop rows written after the checkpoint it resumes from."""
        # Every process of the run prepares itself.
        if self.trainer.world_size > 1:
            self.trainer.strategy.setup_environment()
        if self.device.type == "cpu":
            keep_freed_memory()
        torch.set_num_threads(self.threads)
        # The first process writes for all.
        if not self.trainer.is_global_zero:
            return
        self.lock = claim(self.folder)
        open_loggers(self.trainer.loggers, OmegaConf.to_container(self.cfg, resolve=True))
        if not self.is_trained:
            for name in (RESULT, SCORES, ELITE_SPACE):  # of a smaller budget: the weights will be others
                (self.folder / name).unlink(missing_ok=True)
        store(self.cfg, self.folder, self.module.command)
        print(in_words(self.dataset))
        self.dataset.save_split(self.folder / SPLIT)
        store_provenance(self.folder, device_name(self.device), self.dataset.name)
        cut_back_tables(self.folder, self.module.steps)
        log_again(self.trainer.loggers, self.folder / METRICS, "step", between=logged_epochs(self.folder))

    def train(self) -> None:
        """Train up to the budget; a signal ends the run after the step it arrives in, with a checkpoint.

        Raises:
            Interrupted: a signal arrived.
            RunError: the loop ended before the budget for another reason.
        """
        module = self.module
        if self.is_trained:
            return
        path = str(checkpoint_path(self.folder, self.checkpoint)) if module.steps else None
        self.trainer.callbacks[:0] = self.writers  # type: ignore[attr-defined]
        with finishing() as module.stop:
            try:
                self.trainer.fit(module, self.loader, ckpt_path=path, weights_only=True)
            except (SystemExit, KeyboardInterrupt):  # what Lightning makes of SIGTERM, and of a second Ctrl-C
                module.stop.asked = True
        module.stopwatch.stop()
        if module.stopping:
            raise Interrupted(f"interrupted after step {module.steps}; resume it with resume={self.folder}")
        if module.is_settled and self.trainer.is_global_zero:
            steps = f"{module.steps} of {self.budget.steps} steps"
            print(f"stop=stable: ended after {steps}, since the order of the validation's paths stays")
        if not self.is_trained:
            steps = f"{module.steps} of {self.budget.steps}"
            raise RunError(f"training ended at step {steps}; resume it with resume={self.folder}")

    def close(self) -> None:
        """Unlock the folder and end the run for its loggers, or the next job of a sweep would log into it."""
        torch.set_num_threads(self.threads_before)
        if self.lock is not None:
            self.lock.close()
        finish_loggers(self.trainer.loggers)

    def show_finished(self) -> None:
        """Print that nothing is left to do; the stored budget takes the words it was last asked for in."""
        if not self.trainer.is_global_zero:
            return
        if self.is_trained:
            store(self.cfg, self.folder, self.module.command)
        print(f"{self.folder} is finished: {self.module.steps} steps, see {RESULT} there")


def device_name(device: torch.device) -> str:
    """The GPU's model, or the CPU with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"
