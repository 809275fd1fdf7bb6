"""What is checked of an export's configuration before anything heavy is imported."""

from __future__ import annotations

import keyword
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from src.runtime.errors import UsageError, unknown
from src.runtime.validate import boolean, number, one_of

FORMATS = ("module", "onnx")
"""Modules of src/exporting; each has FILES, `write(network, folder, normalise)` and `reader(...)`."""
ONNX = ("onnx", "onnxscript", "onnxruntime")
TAKEN = ("conv_bn", "relu_conv_bn", "incoming", "run_graph", "normalised", "load", "register_with_timm", "torch", "nn")
"""What model.py defines or imports in small letters."""
FRESH = ("num_classes", "image_size", "in_channels")


def check_export(cfg: DictConfig) -> None:
    """Refuse values out of their range and what does not go together, each by a line that says what is right."""
    for key in ("run", "out", "name"):
        if not isinstance(cfg[key], str | None):
            raise UsageError(f"{key}={cfg[key]}: give one {'identifier' if key == 'name' else 'folder'}, or null")
    one_of(cfg, "bn", ("recalibrate", "running"))
    one_of(cfg, "checkpoint", ("last", "previous"))
    number(cfg, "pick", 0, whole=True, optional=True)
    number(cfg, "seed", 0, 2**63 - 1, whole=True)
    for key in ("calibration_images", "batch_size", "images"):
        number(cfg, key, 1, whole=True)
    for key in ("normalise", "time"):
        boolean(cfg, key)
    _check_source(cfg)
    _check_formats(cfg)
    _check_name(cfg.name)
    _check_out(cfg.out)


def _check_source(cfg: DictConfig) -> None:
    """That one network is named, and only once."""
    for key in FRESH:
        number(cfg, key, 1, whole=True, optional=True)
        if cfg.run is not None and cfg[key] is not None:
            raise UsageError(f"{key}={cfg[key]} is for networks without a run: leave it out, run={cfg.run} has its own")
    if cfg.run is not None and cfg.get("search_space") is not None:
        space = cfg.choices.search_space
        raise UsageError(f"search_space={space} is for networks without a run: leave it out, run={cfg.run} has its own")
    if cfg.run is None and cfg.get("search_space") is None:
        raise UsageError("name what to export: run=<run folder>, or search_space=<name> arch=<architecture>")
    if cfg.run is None and cfg.arch is None:
        raise UsageError("arch=<name, path or file of them> is missing: a search space holds many networks")
    if cfg.run is None and cfg.normalise:
        raise UsageError("normalise=true needs the mean and deviation of a data set: give run=<run folder>")


def _check_formats(cfg: DictConfig) -> None:
    cfg.formats = [cfg.formats] if isinstance(cfg.formats, str) else cfg.formats
    if not isinstance(cfg.formats, ListConfig) or not cfg.formats:
        raise UsageError(f"formats={cfg.formats} names no format: give one or several of {', '.join(FORMATS)}")
    for name in cfg.formats:
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    for key in ("normalise", "time"):
        if cfg[key] and "onnx" not in cfg.formats:
            raise UsageError(f"{key}=true is about the ONNX file: add it, formats=[module,onnx]")
    missing = [package for package in ONNX if "onnx" in cfg.formats and find_spec(package) is None]
    if missing:
        raise UsageError(
            f"formats: onnx needs {', '.join(missing)}: pip install {' '.join(missing)}, or use formats=[module]"
        )


def _check_name(name: str | None) -> None:
    if name is None:
        return
    if not name.isidentifier() or keyword.iskeyword(name) or not name[0].islower() or name in TAKEN:
        raise UsageError(
            f"name={name} is to be a function in model.py: use letters, digits and _, a small letter first, and none "
            f"of {', '.join(TAKEN)}"
        )


def _check_out(out: str | None) -> None:
    """Only the last folder of `out` is made, so that a misspelt one is found."""
    if out is not None and not Path(out).absolute().parent.is_dir():
        raise UsageError(f"out={out}: there is no folder {Path(out).parent} to make it in")
