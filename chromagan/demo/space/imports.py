"""Which files a program needs, read from its import statements (nothing is executed)."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Needs:
    """files: our own modules, relative to the root. packages: top names of everything else."""

    files: tuple[Path, ...]
    packages: frozenset[str]


def needs_of(start: Path, root: Path, own: str) -> Needs:
    """Follow the imports of `start` through the package `own` below `root`.

    Imports inside functions count, those under `if TYPE_CHECKING:` do not.
    """
    waiting = [start]
    seen: set[Path] = set()
    others: set[str] = set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for name in imported_names(file.read_text(encoding="utf-8")):
            if name.split(".")[0] == own:
                waiting += module_files(name, root)
            else:
                others.add(name.split(".")[0])
    return Needs(tuple(sorted(path.relative_to(root) for path in seen)), frozenset(others))


def imported_names(source: str) -> set[str]:
    """Dotted names that a source imports; `from a import b` gives `a` and `a.b`."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        waiting += ast.iter_child_nodes(node)
    return names


def module_files(name: str, root: Path) -> list[Path]:
    """The file of a module and the `__init__` files above it; empty for attributes."""
    parts = name.split(".")
    found = []
    for depth in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:depth])
        if (path / "__init__.py").is_file():
            found.append(path / "__init__.py")
        elif path.with_suffix(".py").is_file():
            found.append(path.with_suffix(".py"))
    return found
