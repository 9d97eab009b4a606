from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from outbox_worker.events import Event
from outbox_worker.redaction import LOG_KEYS
from tests.support_source import PACKAGES, Module, called, calls, last_name, modules

METHODS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
#: Names under which a logger goes; `logger()` itself is one.
LOGGERS = {"log", "_log", "logger", "_logger"}
#: Keys that the set-up of logging adds.
EVERY_LINE = {"ts", "level", "event", "service", "exception", "dropped"}
#: Not fields: they steer the logger.
CONTROLS = {"exc_info", "stack_info"}
EMITTERS = [module for module in modules(*PACKAGES) if module.path != "outbox_worker/telemetry.py"]


def emissions(module: Module) -> Iterator[ast.Call]:
    for call in calls(module):
        if isinstance(call.func, ast.Attribute) and call.func.attr in METHODS:
            target = call.func.value
            if last_name(target.func if isinstance(target, ast.Call) else target) in LOGGERS:
                yield call


def members(node: ast.AST) -> set[str]:
    return {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id == "Event"
    }


def fields(module: Module, call: ast.Call) -> set[str]:
    """Names of the fields of a line, with those that ``**ids(…)`` of the same module adds."""
    found = {keyword.arg for keyword in call.keywords if keyword.arg}
    helpers = {
        called(part)
        for keyword in call.keywords
        if keyword.arg is None
        for part in [keyword.value]
        if isinstance(part, ast.Call)
    }
    for node in module.walk():
        if isinstance(node, ast.FunctionDef) and node.name in helpers:
            found |= {
                key.value
                for part in ast.walk(node)
                if isinstance(part, ast.Dict)
                for key in part.keys
                if isinstance(key, ast.Constant) and isinstance(key.value, str)
            }
    return found


def test_every_line_has_an_event_of_the_catalogue_and_a_sentence() -> None:
    wrong = [
        module.at(call)
        for module in EMITTERS
        for call in emissions(module)
        if not call.args
        or isinstance(call.args[0], ast.Constant | ast.JoinedStr)
        or not members(call.args[0]) <= set(Event.__members__)
        or "message" not in fields(module, call)
    ]

    assert wrong == [], "\n".join(wrong)


def test_every_line_has_only_keys_that_may_be_written() -> None:
    strange = {
        module.at(call): more
        for module in EMITTERS
        for call in emissions(module)
        if (more := fields(module, call) - LOG_KEYS - CONTROLS)
    }

    assert strange == {}, strange


def test_every_key_that_may_be_written_is_used() -> None:
    used = {
        key for module in EMITTERS for call in emissions(module) for key in fields(module, call)
    }

    assert sorted(LOG_KEYS - used - EVERY_LINE) == []


def test_every_event_of_the_catalogue_is_emitted() -> None:
    emitted = {
        name for module in EMITTERS for call in emissions(module) for name in members(call.args[0])
    }

    silent = sorted(set(Event.__members__) - emitted)
    assert silent == [], "\n".join(silent)


@pytest.mark.parametrize("event", Event)
def test_an_event_is_named_noun_dot_participle(event: Event) -> None:
    noun, participle = event.value.split(".")

    assert noun.isalpha()
    assert participle.replace("_", "").isalpha()
    assert event.name == f"{noun}_{participle}".upper()


def test_nothing_logs_past_the_redactor() -> None:
    past = [
        module.at(call)
        for module in EMITTERS
        for call in calls(module)
        if called(call)
        in {"getLogger", "get_logger", "basicConfig", "print_exc", "print_exception"}
    ]

    assert past == [], "\n".join(past)
