"""COMMAND  what a space or path holds and costs: python -m src.describe search_space=mobilenet_b path=fairnas_a"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig

from src.runtime.launch import launch
from src.runtime.result import write_result
from src.runtime.validate import check_keys


def main(cfg: DictConfig, folder: Path) -> None:
    """Print the tables and write result.json."""
    check_keys(cfg, "describe")

    from rich.console import Console

    from src.search_spaces.summary import long_archs, run, tables  # late: torch takes seconds to import

    result = run(cfg)
    write_result(folder, result)
    Console().print(*tables(result), sep="\n", soft_wrap=True)
    for line in long_archs(result):
        print(line)


if __name__ == "__main__":
    sys.exit(launch("describe", main))
