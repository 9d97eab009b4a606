"""The example file and the reference page of settings, written from the catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from outbox_worker.settings_catalogue import GROUPS

_EXAMPLE_HEAD = """\
# Settings of booking-outbox. What is commented out is a default, or has none.
# Nothing reads this file by itself: give it with --env-file, or to the service manager.
"""

_REFERENCE_HEAD = """\
# Settings

Settings are environment variables. An empty one counts as unset, except `METRICS_ADDRESS`.
All faults are reported at once, without values, and end the command with exit code 2; a command
needs only the settings it uses. A name within two edits of a setting is refused as misspelt;
other variables are the host's business.

A *secret* can also be given as a file named by `NAME_FILE`, or as a systemd credential of its name
(`$CREDENTIALS_DIRECTORY/NAME`; a blank one counts as unset), in one of the three ways only. Truth
is written true/false, 1/0, yes/no or on/off; durations are numbers in the unit of their name,
decimals allowed.
"""


def environment_example() -> str:
    """Text of ``.env.example``: every name with its default, one comment line each."""
    return _EXAMPLE_HEAD + "\n".join(_example_lines()) + "\n"


def describe_settings() -> str:
    """Text of the reference page, Markdown."""
    return _REFERENCE_HEAD + "\n".join(_reference_lines()) + "\n"


def _example_lines() -> Iterator[str]:
    for group in GROUPS:
        yield ""
        yield f"## {group.title}"
        for setting in group.settings:
            yield f"# {setting.about}"
            yield f"#{setting.name}={setting.default}"


def _reference_lines() -> Iterator[str]:
    for group in GROUPS:
        yield ""
        yield f"## {group.title}"
        yield ""
        yield "| name | default | meaning |"
        yield "|---|---|---|"
        for setting in group.settings:
            default = f"`{setting.default}`" if setting.default else ""
            about = f"*Secret.* {setting.about}" if setting.secret else setting.about
            yield f"| `{setting.name}` | {default} | {about} |"
