from __future__ import annotations

import ast

from tests.support_source import modules

MODULE_LINES = 400
FUNCTION_LINES = 60
CODE = modules("outbox_worker", "webhook_receiver", "tests")


def test_every_module_can_be_read_in_one_sitting() -> None:
    long = [
        f"{module.path}: {lines} lines"
        for module in CODE
        if (lines := len(module.text.splitlines())) > MODULE_LINES
    ]

    assert long == [], "\n".join(long)


def test_every_function_fits_a_screen() -> None:
    long = [
        f"{module.at(node)} {node.name}: {lines} lines"
        for module in CODE
        for node in module.walk()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    ]

    assert long == [], "\n".join(long)
