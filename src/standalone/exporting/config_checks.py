"""Rules between the keys of an export's configuration, checked before anything heavy is imported."""

from __future__ import annotations

import keyword
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig

from src.runtime.errors import UsageError
from src.runtime.validate import check_keys

FORMATS = ("module", "onnx")
"""Modules of src/standalone/exporting; each has FILES, `write(network, folder, normalise)` and `reader(...)`."""
ONNX = ("onnx", "onnxscript", "onnxruntime")
TAKEN = ("conv_bn", "relu_conv_bn", "normalised", "load", "register_with_timm", "torch", "nn")
"""What model.py defines or imports in small letters."""


def check_export(cfg: DictConfig) -> None:
    """Refuse, in one line, values that conf/ does not allow and keys that do not go together; lists `formats`."""
    check_keys(cfg, "export")
    cfg.formats = [cfg.formats] if isinstance(cfg.formats, str) else cfg.formats
    check_source(cfg)

    # the ONNX file and the packages that write it
    for key in ("normalise", "time"):
        if cfg[key] and "onnx" not in cfg.formats:
            raise UsageError(f"{key}=true is about the ONNX file: add it, formats=[module,onnx]")
    missing = [package for package in ONNX if "onnx" in cfg.formats and find_spec(package) is None]
    if missing:
        raise UsageError(
            f"formats: onnx needs {', '.join(missing)}: pip install {' '.join(missing)}, or use formats=[module]"
        )

    # the name becomes a function of model.py
    name = cfg.name
    if name is not None and (
        not name.isidentifier() or keyword.iskeyword(name) or not name[0].islower() or name in TAKEN
    ):
        raise UsageError(
            f"name={name} is to be a function in model.py: use letters, digits and _, a small letter first, and none "
            f"of {', '.join(TAKEN)}"
        )

    # only the last folder of `out` is made, so that a misspelt one is noticed
    if cfg.out is not None and not Path(cfg.out).absolute().parent.is_dir():
        raise UsageError(f"out={cfg.out}: there is no folder {Path(cfg.out).parent} to make it in")


def check_source(cfg: DictConfig) -> None:
    """Refuse an export of no network, or with keys that its run decides."""
    if cfg.run is not None:
        # input and space are the run's
        fresh = {key: cfg[key] for key in ("num_classes", "image_size", "in_channels")}
        if cfg.get("search_space") is not None:
            fresh["search_space"] = cfg.choices.search_space
        for key, value in fresh.items():
            if value is not None:
                raise UsageError(
                    f"{key}={value} is for networks without a run: leave it out, run={cfg.run} has its own"
                )
        return
    # without a run the command line has to name the network
    if cfg.get("search_space") is None:
        raise UsageError("name what to export: run=<run folder>, or search_space=<name> arch=<architecture>")
    if cfg.arch is None:
        raise UsageError("arch=<name, path or file of them> is missing: a search space holds many networks")
    if cfg.normalise:
        raise UsageError("normalise=true needs the mean and deviation of a data set: give run=<run folder>")
