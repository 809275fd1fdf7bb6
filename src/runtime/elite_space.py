"""The file of an Elite Space, elite_space.yaml: the ranges of widths and depths that a network space search chose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from src.runtime.errors import UsageError

ELITE_SPACE = "elite_space.yaml"


def ranges_of(file: str | None, space: str | None = None) -> list[str] | None:
    """The `ranges` of such a file, `[1-2, 9-16, ...]`: depth and width of each stage; None without a file.

    Raises:
        UsageError: no such file, one without ranges, or of another search space than `space`.
    """
    if file is None:
        return None
    path = Path(file).expanduser()
    # a run's folder will do too
    path = path / ELITE_SPACE if path.is_dir() else path
    try:
        content: Any = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise UsageError(f"search_space.within={file}: there is no such file") from None
    except (OSError, YAMLError, OmegaConfBaseException, UnicodeDecodeError):
        raise UsageError(f"search_space.within={file} cannot be read as YAML") from None
    ranges = content.get("ranges") if isinstance(content, dict) else None
    if not isinstance(ranges, list):
        raise UsageError(f"search_space.within={file} has no list `ranges`: give an {ELITE_SPACE}")
    if space is not None and content.get("search_space", space) != space:
        raise UsageError(f"search_space.within={file} has ranges of {content['search_space']}, not of {space}")
    return [str(each) for each in ranges]


OmegaConf.register_new_resolver("ranges_of", ranges_of, replace=True)
