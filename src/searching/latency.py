"""Latency of paths from a table of what each choice takes, measured once on a device or brought from another one.

The table is additive as those of parameters and multiply-adds are, which latency is only nearly: `check_table` says how
nearly.
L layers, m choices of a layer; all times in milliseconds for one batch.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from src.analysis.ranking import kendall
from src.datasets.input_spec import InputSpec
from src.runtime.errors import UsageError
from src.runtime.progress import progress
from src.runtime.run_folder import read_json, replace_file, write_json
from src.search_spaces.costs import Part
from src.search_spaces.space import SearchSpace
from src.searchers.path_costs import Additive
from src.supernet.path import ArchPath

COLUMNS = ("layer", "choice", "operation", "milliseconds")
FIXED = "fixed"
"""In place of a layer: stem, reductions and tail."""
SECONDS = 0.05
"""Each module is run for at least so long."""
RETRIES = 3
"""Times that an idle call is timed again for a module that seems to take no time."""
LONGER = 0.2
"""Seconds of such a try at least: longer than other work keeps a core to itself."""


@dataclass
class ModuleTimer:
    """Times modules in evaluation mode on the CPU; equal modules on equal inputs once."""

    backend: str = "torch"
    threads: int = 1
    batch_size: int = 1
    seconds: float = SECONDS
    known: dict[tuple[str, tuple[int, ...]], float] = field(default_factory=dict)

    def __call__(self, module: nn.Module, shape: tuple[int, ...]) -> float:
        """Milliseconds of one call on (batch_size, *shape), less those of a call that does nothing."""
        idle = nn.Identity()
        taken = self._time(module, shape) - self._time(idle, shape)
        # A burst of other work while the idle call was timed makes small modules look free: time it again.
        for _ in range(RETRIES if str(module) != str(idle) else 0):
            if taken > 0:
                break
            taken = self._time(module, shape) - self._time(idle, shape, again=True)
        return max(taken, 0.0)

    def _time(self, module: nn.Module, shape: tuple[int, ...], again: bool = False) -> float:
        """The least of many: other processes only ever add."""
        from torch.utils.benchmark import Timer  # late: it looks for compilers, and says so

        key = (str(module), shape)
        if again or key not in self.known:
            images = torch.randn(self.batch_size, *shape)
            run = self._prepared(module.eval(), images)
            seconds = max(self.seconds, LONGER) if again else self.seconds
            repeated = Timer("run()", globals={"run": run}, num_threads=self.threads)
            with torch.inference_mode():
                least = 1000 * min(repeated.blocked_autorange(min_run_time=seconds).times)
            self.known[key] = min(least, self.known.get(key, least))
        return self.known[key]

    def _prepared(self, module: nn.Module, images: torch.Tensor) -> Callable[[], Any]:
        if self.backend == "torch":
            return lambda: module(images)
        return onnx_call(module, images, self.threads)


def onnx_call(module: nn.Module, images: torch.Tensor, threads: int) -> Callable[[], Any]:
    """One inference of a module by onnxruntime."""
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(module, (images,), dynamo=True, verbose=False)
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), options)
    inputs = {session.get_inputs()[0].name: images.numpy()}
    return lambda: session.run(None, inputs)


def measure_table(space: SearchSpace, input_spec: InputSpec, timer: ModuleTimer, file: Path) -> Additive:
    """Time every choice, the fixed part too, and store the table."""
    # Sum what every module takes at the places it is used at
    parts = space.parts(input_spec)
    rows: dict[tuple[int | str, int], float] = {}
    with progress("time choices", "module", len(parts)) as bar:
        for part in parts:
            taken = timer(part.build(), part.shape) * part.repeats
            for key in _places(part):
                rows[key] = rows.get(key, 0.0) + taken
            bar.update()
    # The table as it is stored, the fixed part first
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (layer, choice), value in sorted(rows.items(), key=lambda row: (row[0][0] != FIXED, row[0])):
        name = FIXED if layer == FIXED else space.op_names(int(layer))[choice]
        writer.writerow([layer, choice, name, f"{value:.6f}"])
    file.parent.mkdir(parents=True, exist_ok=True)
    # The conditions first: a table without them would be taken for any input
    about: dict[str, Any] = {
        "space": space.name,
        "input": input_spec._asdict(),
        "device": "cpu",
        "backend": timer.backend,
    }
    about |= {"threads": timer.threads, "batch_size": timer.batch_size}
    write_json(_about(file), about)
    replace_file(file, text.getvalue())
    return read_table(space, file, input_spec)


def _about(file: Path) -> Path:
    """The JSON file beside a table: conditions of its measurement, and the error of its sums."""
    return file.with_suffix(".json")


def _places(part: Part) -> list[tuple[int | str, int]]:
    return [(layer, part.choice) for layer in part.layers] if part.layers else [(FIXED, 0)]


def read_table(space: SearchSpace, file: Path, input_spec: InputSpec) -> Additive:
    """A stored table.

    Raises:
        UsageError: no such file, another form, choices that the space does not have or lacks, times that are not
            finite and 0 or more, or a note beside it that it was measured for another input.
    """
    if not file.is_file():
        raise UsageError(f"latency.table={file}: there is no such file")
    try:
        lines = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines()))
        times = {(row["layer"], int(row["choice"])): float(row["milliseconds"]) for row in lines}
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"latency.table={file} is not a latency table: its columns are {', '.join(COLUMNS)}") from None
    # Every choice of every layer has a time, and the fixed part
    wanted = {(str(layer), choice) for layer, size in enumerate(space.sizes) for choice in range(size)}
    if times.keys() != wanted | {(FIXED, 0)}:
        raise UsageError(
            f"latency.table={file} is of another space: {space.name} has {len(space.sizes)} layers with "
            f"{len(wanted)} choices in all, each with its own row, and one row {FIXED}"
        )
    if wrong := next((key for key, value in times.items() if not (math.isfinite(value) and value >= 0)), None):
        raise UsageError(f"latency.table={file}: layer {wrong[0]}, choice {wrong[1]} has {times[wrong]} milliseconds")
    # A table from elsewhere may lack the conditions of its measurement; if it has them, they must be ours
    measured = (read_json(_about(file)) or {}).get("input", input_spec._asdict())
    if measured != input_spec._asdict():
        raise UsageError(
            f"latency.table={file} was measured for {measured}, and the networks read {input_spec._asdict()}"
        )
    choices = [tuple(times[str(layer), choice] for choice in range(size)) for layer, size in enumerate(space.sizes)]
    return Additive("latency", times[FIXED, 0], tuple(choices))


def check_once(
    space: SearchSpace,
    input_spec: InputSpec,
    table: Additive,
    timer: ModuleTimer,
    paths: Sequence[ArchPath],
    file: Path,
) -> dict[str, Any]:
    """`check_table`, its figures kept beside the table from the first time on."""
    about = read_json(_about(file)) or {}
    if "check" not in about:
        about["check"] = check_table(space, input_spec, table, timer, paths)
        write_json(_about(file), about)
    return dict(about["check"])


def check_table(
    space: SearchSpace, input_spec: InputSpec, table: Additive, timer: ModuleTimer, paths: Sequence[ArchPath]
) -> dict[str, Any]:
    """The table against whole networks timed here: relative errors, and Kendall's tau between the two."""
    shape = (input_spec.in_channels, input_spec.image_size, input_spec.image_size)
    summed = [table(path) for path in paths]
    timed = [timer(space.build_path(path, *input_spec), shape) for path in paths]
    errors = [(a - b) / b for a, b in zip(summed, timed, strict=True)]
    return {
        "networks": len(paths),
        "mean_error": statistics.mean(errors),
        "mean_absolute_error": statistics.mean(map(abs, errors)),
        "largest_error": max(map(abs, errors)),
        "tau": kendall(summed, timed).value,
    }
