"""The file of an Elite Space, elite_space.yaml: the ranges of widths and depths that a network space search chose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from src.runtime.errors import UsageError

ELITE_SPACE = "elite_space.yaml"


def ranges_of(file: str | None, space: str | None = None, *, _parent_: DictConfig | None = None) -> list[str] | None:
    """The `ranges` of such a file, `[1-2, 9-16, ...]`: depth and width of each stage; None without a file.

    `_parent_` is the section of the configuration that asks, the settings of the space.

    Raises:
        UsageError: no such file, one without ranges, or of another search space than `space`, or of other settings.
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
    # what networks cost, and so where their spaces lie; files of before the settings stood there have none
    for key, value in (content.get("settings") or {}).items():
        own = value if _parent_ is None else _parent_.get(key)
        own = list(own) if OmegaConf.is_list(own) else own
        if own != value:
            raise UsageError(f"search_space.within={file} was searched with search_space.{key}={value}, not {own}")
    return [str(each) for each in ranges]


OmegaConf.register_new_resolver("ranges_of", ranges_of, replace=True)
