"""Lightning's Trainer with its messages off the terminal and its refusals as usage errors."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from src.runtime.errors import UsageError


def checked_trainer(**settings: Any) -> pl.Trainer:
    """Lightning's Trainer.

    Raises:
        UsageError: it refuses a setting.
    """
    try:
        return pl.Trainer(**settings)
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise UsageError(f"trainer: {error}") from None


def quiet() -> None:
    """Keep Lightning's own chatter off the terminal."""
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
