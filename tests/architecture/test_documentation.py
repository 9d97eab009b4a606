from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

import pytest

from outbox_worker.settings_reference import describe_settings, environment_example
from tests.support_source import PACKAGES, ROOT, Module, modules

OWNERS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def undocumented(module: Module) -> Iterator[str]:
    if module.text.strip() and ast.get_docstring(module.tree) is None:
        yield module.path
    inside: list[ast.stmt] = list(module.tree.body)
    for node in inside:
        if not isinstance(node, OWNERS) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            yield f"{module.at(node)} {node.name}"
        if isinstance(node, ast.ClassDef):
            inside.extend(node.body)


@pytest.mark.parametrize(
    ("path", "generate"),
    [(".env.example", environment_example), ("docs/reference/settings.md", describe_settings)],
)
def test_what_is_written_about_settings_is_what_they_are(
    path: str, generate: Callable[[], str]
) -> None:
    command = (
        f"python -c 'from outbox_worker.settings_reference import {generate.__name__} as text; "
        f'print(text(), end="")\' > {path}'
    )

    assert (ROOT / path).read_text(encoding="utf-8") == generate(), f"to renew it: {command}"


def test_everything_public_is_documented() -> None:
    bare = [place for module in modules(*PACKAGES) for place in undocumented(module)]

    assert bare == [], "\n".join(bare)
