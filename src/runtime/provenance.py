"""Where a run came from: commit, versions, device."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from src.runtime.run_folder import PROVENANCE, write_json

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "timm", "numpy")
ROOT = Path(__file__).resolve().parents[2]


def store_provenance(folder: Path, device: str, dataset: str) -> dict[str, Any]:
    """Write provenance.json at a run's first start; a later start is added to its `resumed`."""
    now = {"commit": commit(), "dirty": is_dirty(), "started": datetime.now(UTC).isoformat(timespec="seconds")}
    path = folder / PROVENANCE
    if path.exists():
        # a later start keeps what the first one wrote
        stored = json.loads(path.read_text())
        stored["resumed"].append(now)
    else:
        # the first start: what would be needed to repeat it
        versions = {package: version(package) for package in PACKAGES}
        stored = {
            **now,
            "python": platform.python_version(),
            "versions": versions,
            "device": device,
            "dataset": dataset,
        }
        stored |= {"command": sys.argv[1:], "resumed": []}
    write_json(path, stored)
    return stored


def commit() -> str:
    """The checkout's commit, or `unknown` outside a repository."""
    return _git("rev-parse", "HEAD") or "unknown"


def is_dirty() -> bool:
    """Whether tracked files differ from the commit."""
    return bool(_git("status", "--porcelain", "--untracked-files=no"))


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
