from __future__ import annotations

import ast

from tests.support_source import PACKAGES, Module, modules

#: Edges of processes: they read the environment once and pass it on.
EDGES = (
    "outbox_worker/cli/",
    "outbox_worker/api.py",
    "outbox_worker/demo/__main__.py",
    "webhook_receiver/__main__.py",
)
READERS = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}


def reads(module: Module) -> list[str]:
    found = []
    for node in module.walk():
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in READERS:
                found.append(module.at(node))
            case ast.ImportFrom(module="os", names=names) if READERS & {n.name for n in names}:
                found.append(module.at(node))
            case _:
                pass
    return found


def test_the_environment_is_read_only_at_the_edges_of_processes() -> None:
    inside = [
        place
        for module in modules(*PACKAGES)
        if not module.path.startswith(EDGES)
        for place in reads(module)
    ]

    assert inside == [], "\n".join(inside)


def test_nothing_is_read_while_a_module_is_imported() -> None:
    at_import = [
        place
        for module in modules(*PACKAGES)
        if module.path.startswith(EDGES)
        for statement in module.tree.body
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.If)
        for place in reads(
            Module(
                path=module.path,
                name=module.name,
                text="",
                tree=ast.Module(body=[statement], type_ignores=[]),
            )
        )
    ]

    assert at_import == [], "\n".join(at_import)
