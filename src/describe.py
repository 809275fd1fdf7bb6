"""COMMAND  what a space or path holds and costs: python -m src.describe search_space=mobilenet_b path=fairnas_a"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from src.runtime.errors import UsageError
from src.runtime.launch import launch
from src.runtime.result import write_result
from src.runtime.validate import check_keys

if TYPE_CHECKING:
    from src.search_spaces.summary import DescribeResult


def main(cfg: DictConfig, folder: Path) -> None:
    """Print the tables and write result.json."""
    check_keys(cfg, "describe")

    from rich.console import Console

    from src.search_spaces.summary import long_archs, run, tables  # late: torch takes seconds to import

    result = run(cfg)
    drawn = draw(cfg, result, folder) if cfg.draw else []
    write_result(folder, result)
    Console().print(*tables(result), sep="\n", soft_wrap=True)
    for line in long_archs(result):
        print(line)
    for file in drawn:
        print(f"drawing: {file}")


def draw(cfg: DictConfig, result: DescribeResult, folder: Path) -> list[Path]:
    """A drawing of each path that was described; without one, of all networks of the space together."""
    from hydra.utils import instantiate

    from src.analysis.report.network_drawing import save_drawing
    from src.datasets.input_spec import InputSpec
    from src.supernet.path import parse_path

    space, input_spec = instantiate(cfg.search_space), InputSpec(**result.input)
    pictures = {row["arch"]: space.picture(parse_path(row["path"]), input_spec) for row in result.paths}
    if not pictures:
        pictures = {"all networks": space.picture(None, input_spec)}
    if None in pictures.values():
        raise UsageError(f"draw=true draws networks of {space.name}: give path=<path>")
    files = []
    for number, (name, picture) in enumerate(pictures.items()):
        stem = folder / "figures" / ("network" if len(pictures) == 1 else f"network_{number}")
        files += save_drawing(f"{space.name}: {name}", picture, stem)
    return files


if __name__ == "__main__":
    sys.exit(launch("describe", main))
