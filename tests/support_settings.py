"""Reading settings and what is wrong with them, for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from outbox_worker.errors import SettingsError
from outbox_worker.settings import SettingsReader

Area: TypeAlias = Callable[[SettingsReader], object]

LIVE = {
    "GUESTLY_SYNC_ENABLED": "true",
    "GUESTLY_TEST_MODE": "false",
    "GUESTLY_API_KEY": "key-hunter2",
    "GUESTLY_API_URL": "https://pms.example.com/v1/",
}


def faults_of(environ: dict[str, str], *areas: Area) -> tuple[str, ...]:
    reader = SettingsReader(environ)
    for area in areas:
        area(reader)
    try:
        reader.finish()
    except SettingsError as error:
        return error.faults
    return ()


def only_fault(environ: dict[str, str], *areas: Area) -> str:
    (fault,) = faults_of(environ, *areas)
    return fault
