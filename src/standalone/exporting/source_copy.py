"""Copies definitions out of modules of this project into a file that stands alone."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

PLAIN = {"BatchNorm": "nn.BatchNorm2d"}
"""Our classes -> classes of torch that they equal as they are set in stand-alone networks."""


class SourceCopy:
    """Classes and functions with all that they use, each after what it uses, and the imports they need."""

    def __init__(self) -> None:
        self.definitions: dict[str, str] = {}
        self.imported: dict[str, set[str]] = defaultdict(set)
        """Module -> names imported from it; the name "" is the module itself."""

    def add(self, definition: type | Callable[..., Any]) -> None:
        """Copy a class or function defined at the top of its module."""
        self.add_name(sys.modules[definition.__module__], definition.__name__)

    def add_import(self, module: str, *names: str) -> None:
        """Import `names` of a module that is not ours; without names the module itself."""
        self.imported[module].update(names or [""])

    def add_name(self, module: ModuleType, name: str) -> None:
        """Copy what a name stands for in a module of ours, whether it is defined or imported there."""
        # Imports of our own modules are followed to the definition, others are kept as imports.
        node = top_level(module)[name]
        if isinstance(node, ast.Import):
            self.add_import(imported_as(node, name).name)
        elif isinstance(node, ast.ImportFrom):
            source, alias = str(node.module), imported_as(node, name)
            if not source.startswith("src."):
                self.add_import(source, ast.unparse(alias))
            elif alias.name in PLAIN:
                self.add_import("torch", "nn")
            else:
                self.add_name(sys.modules[source], alias.name)
        elif name not in self.definitions:
            # Depth first, so that every definition comes after what it uses.
            for used in sorted({n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - {name}):
                if used in top_level(module):
                    self.add_name(module, used)
            self.definitions[name] = source_text(module, node)

    def text(self) -> str:
        """The definitions, two blank lines between classes and functions."""
        return "\n\n\n".join(self.definitions.values())

    def imports(self) -> str:
        """The import statements, those of the standard library first."""
        blocks: tuple[list[str], list[str]] = ([], [])
        for module in sorted(self.imported):
            block = blocks[module.split(".")[0] not in sys.stdlib_module_names]
            names = ", ".join(sorted(self.imported[module] - {""}))
            if "" in self.imported[module]:
                block.append(f"import {module}")
            if names:
                block.append(f"from {module} import {names}")
        return "\n\n".join("\n".join(block) for block in blocks)


def imported_as(node: ast.Import | ast.ImportFrom, name: str) -> ast.alias:
    """The part of an import statement that binds `name`."""
    (alias,) = [alias for alias in node.names if (alias.asname or alias.name) == name]
    return alias


@lru_cache(maxsize=16)
def top_level(module: ModuleType) -> dict[str, ast.stmt]:
    """The statements of a module that define or import something, by name."""
    # Parsed, not imported: the text keeps annotations and comments.
    statements: dict[str, ast.stmt] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            statements[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            statements |= {alias.asname or alias.name: node for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            statements[node.targets[0].id] = node
    return statements


def source_text(module: ModuleType, node: ast.stmt) -> str:
    """The lines of a statement with its decorators, our classes replaced by those of torch that equal them."""
    # A node's own lines begin after its decorators.
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    text = "\n".join(inspect.getsource(module).splitlines()[first - 1 : node.end_lineno])
    # Whole words alone: `BatchNorm` is also the beginning of torch's `BatchNorm2d`.
    for ours, theirs in PLAIN.items():
        text = re.sub(rf"\b{ours}\b", theirs, text)
    return text
