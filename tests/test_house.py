"""The structure of src/: rooms in order, plain docstrings, typed values below the commands."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
ROOMS = (
    *("runtime", "datasets", "supernet", "search_spaces", "samplers", "analysis", "benchmarks", "training"),
    *("ranking", "searchers", "searching", "standalone", "benches"),
)
"""From the lowest; a room imports from itself and from rooms before it."""
COMMANDS = {"train", "rank", "search", "retrain", "export", "report", "describe", "bench", "ground_truth"}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(SRC.rglob("*.py")):
        yield file.relative_to(SRC), ast.parse(file.read_text())


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    for file, tree in modules():
        yield from ((file, node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_only_commands_stand_beside_the_rooms() -> None:
    assert {file.stem for file in SRC.glob("*.py")} == COMMANDS | {"__init__"}
    assert {folder.name for folder in SRC.iterdir() if (folder / "__init__.py").exists()} == set(ROOMS)


def test_no_import_runs_up() -> None:
    upward = []
    for file, tree in modules():
        room = file.parts[0]
        nodes = list(ast.walk(tree))
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        imports = [f"{node.module}.{alias.name}" for node in froms for alias in node.names]
        imports += [alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names]
        others = {name.split(".")[1] for name in imports if name.startswith("src.")} if room in ROOMS else set()
        upward += [f"{file} -> {other}" for other in others if ROOMS.index(other) > ROOMS.index(room)]
    assert not upward


def test_docstrings_say_what_they_document() -> None:
    odd = []
    for file, tree in modules():
        documented = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
        texts = [ast.get_docstring(node) or "" for node in documented]
        odd += [
            f"{file}: {text.splitlines()[0]}" for text in texts if re.match(r"(What|Of|How|Whether it|As )\b", text)
        ]
    assert not odd


def test_nothing_is_called_found_or_given() -> None:
    names = []
    for file, tree in modules():
        for node in ast.walk(tree):
            name = node.id if isinstance(node, ast.Name) else node.arg if isinstance(node, ast.arg) else ""
            names += [f"{file}: {name}"] if name in ("found", "given") else []
    assert not names


def test_no_module_is_longer_than_250_lines() -> None:
    assert not [str(file) for file in SRC.rglob("*.py") if len(file.read_text().splitlines()) > 250]


def test_no_function_is_longer_than_50_lines() -> None:
    long = [f"{file}: {node.name}" for file, node in functions() if (node.end_lineno or 0) - node.lineno >= 50]
    assert not long


def test_the_whole_configuration_stops_at_build_and_checks() -> None:
    whole = [
        f"{file}:{node.lineno} {node.name}"
        for file, node in functions()
        if len(file.parts) > 1 and file.name not in ("build.py", "config_checks.py")
        if any(a.arg == "cfg" or "DictConfig" in ast.unparse(a.annotation or ast.Constant("")) for a in node.args.args)
    ]
    assert len(whole) <= 10, whole


def test_functions_have_few_parameters_unless_configurations_name_them() -> None:
    targets = " ".join(file.read_text() for file in (SRC.parent / "conf").rglob("*.yaml"))
    many = []
    for file, tree in modules():
        dotted = "src." + ".".join(file.with_suffix("").parts)
        for node in tree.body:
            owned = node.body if isinstance(node, ast.ClassDef) else [node]
            for function in owned:
                if not isinstance(function, ast.FunctionDef):
                    continue
                arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
                count = sum(argument.arg not in ("self", "cls") for argument in arguments)
                name = node.name if isinstance(node, ast.ClassDef | ast.FunctionDef) else ""
                if count > 8 and f"{dotted}.{name}" not in targets:
                    many.append(f"{file}: {function.name} {count}")
    assert not many
