"""Definitions copied out of modules of this project into a file that stands alone."""

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
"""Classes of ours that, as they are set in stand-alone networks, are those of torch."""


class Sources:
    """Classes and functions with all that they use, each after what it uses, and the imports they need."""

    def __init__(self) -> None:
        self.definitions: dict[str, str] = {}
        self._imported: dict[str, set[str]] = defaultdict(set)

    def add(self, thing: type | Callable[..., Any]) -> None:
        """Copy a class or function defined at the top of its module."""
        self._add(sys.modules[thing.__module__], thing.__name__)

    def need(self, module: str, *names: str) -> None:
        """Import `names` of a module that is not ours; without names the module itself."""
        self._imported[module].update(names or [""])

    def text(self) -> str:
        """The definitions, two blank lines between classes and functions."""
        return "\n\n\n".join(self.definitions.values())

    def imports(self) -> str:
        """The imports, the standard library's first."""
        standard = [m for m in sorted(self._imported) if m.split(".")[0] in sys.stdlib_module_names]
        blocks = [standard, [m for m in sorted(self._imported) if m not in standard]]
        return "\n\n".join("\n".join(line for m in block for line in self._lines(m)) for block in blocks)

    def _lines(self, module: str) -> list[str]:
        names = ", ".join(sorted(self._imported[module] - {""}))
        return [f"import {module}"] * ("" in self._imported[module]) + [f"from {module} import {names}"] * bool(names)

    def _add(self, module: ModuleType, name: str) -> None:
        node = _top_level(module)[name]
        if isinstance(node, ast.Import | ast.ImportFrom):
            self._import(node, name)
        elif name not in self.definitions:
            for used in sorted({n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - {name}):
                if used in _top_level(module):
                    self._add(module, used)
            self.definitions[name] = _text(module, node)

    def _import(self, node: ast.Import | ast.ImportFrom, name: str) -> None:
        """Follow an import that leads to our own modules; take over any other."""
        (alias,) = [alias for alias in node.names if (alias.asname or alias.name) == name]
        if isinstance(node, ast.Import):
            self.need(alias.name)
        elif not str(node.module).startswith("src."):
            self.need(str(node.module), ast.unparse(alias))
        elif alias.name not in PLAIN:
            self._add(sys.modules[str(node.module)], alias.name)
        else:
            self.need("torch", "nn")


@lru_cache(maxsize=16)
def _top_level(module: ModuleType) -> dict[str, ast.stmt]:
    """What a module defines or imports, by name."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name: node for alias in node.names}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
    return found


def _text(module: ModuleType, node: ast.stmt) -> str:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    text = "\n".join(inspect.getsource(module).splitlines()[first - 1 : node.end_lineno])
    for ours, theirs in PLAIN.items():
        text = re.sub(rf"\b{ours}\b", theirs, text)
    return text
