"""The project's own source, parsed, for tests of its architecture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
PACKAGES = ("outbox_worker", "webhook_receiver")

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One Python file.

    Args:
        path: Relative to the repository, with slashes.
        name: Dotted name.
    """

    path: str
    name: str
    text: str = field(repr=False)
    tree: ast.Module = field(repr=False)

    def walk(self) -> Iterator[ast.AST]:
        return ast.walk(self.tree)

    def at(self, node: ast.expr | ast.stmt) -> str:
        return f"{self.path}:{node.lineno}"


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every module below these folders of the repository."""
    return tuple(
        _parse(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))
    )


def calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in module.walk() if isinstance(node, ast.Call))


def called(call: ast.Call) -> str:
    """The last part of what is called: ``info`` of ``logger().info(…)``."""
    return last_name(call.func)


def last_name(node: ast.expr) -> str:
    """``c`` of ``a.b.c``; empty where the expression does not end in a name."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def docstrings(module: Module) -> set[ast.expr]:
    """The nodes that are documentation."""
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        node.body[0].value
        for node in module.walk()
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }


def _parse(path: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    relative = path.relative_to(ROOT)
    name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    return Module(
        path=relative.as_posix(), name=name, text=text, tree=ast.parse(text, filename=str(relative))
    )
