"""COMMAND  a path as a stand-alone model, ONNX: python -m src.export run=<run dir> [arch=<path>]"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from omegaconf import DictConfig

from src.runtime.launch import launch
from src.standalone.exporting.config_checks import check_export


def main(cfg: DictConfig, folder: Path) -> None:
    """Write the network's files, compare what they compute with the network, print one table."""
    started = time.monotonic()
    check_export(cfg)

    from src.standalone.exporting.build import build  # late: torch takes seconds to import
    from src.standalone.exporting.run import export

    export(*build(cfg, folder, started))


if __name__ == "__main__":
    sys.exit(launch("export", main))
