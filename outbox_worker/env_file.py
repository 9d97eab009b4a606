"""Files of ``KEY=VALUE`` lines, as ``--env-file`` takes them."""

from __future__ import annotations

from pathlib import Path

from outbox_worker.errors import SettingsError


def read_env_file(path: Path) -> dict[str, str]:
    """Read a file of settings.

    Args:
        path: UTF-8 text; see `parse_env_file`.

    Raises:
        SettingsError: It cannot be read, or holds lines of another shape.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError((f"{path} cannot be read: {type(error).__name__}",)) from error
    return parse_env_file(text, name=str(path))


def parse_env_file(text: str, *, name: str) -> dict[str, str]:
    """Read ``KEY=VALUE`` lines.

    Args:
        text: Lines; blank ones and those that begin with ``#`` are skipped, a leading ``export``
            is allowed, a value may stand in single or double quotes. Nothing is expanded.
        name: The file's name, for the faults.

    Raises:
        SettingsError: A line of another shape; each is listed by number, never by content.
    """
    values: dict[str, str] = {}
    faults: list[str] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.removeprefix("export ").partition("=")
        key = key.strip()
        parsed = _unquoted(value.strip())
        if not equals or not key.isidentifier():
            faults.append(f"{name} line {number}: expected KEY=VALUE")
        elif parsed is None:
            faults.append(f"{name} line {number}: the quote of {key} is not closed")
        else:
            values[key] = parsed
    if faults:
        raise SettingsError(tuple(faults))
    return values


def _unquoted(value: str) -> str | None:
    quote = value[:1]
    if quote not in {"'", '"'}:
        # as in a shell, a comment begins at a hash after a space
        return value.partition(" #")[0].rstrip()
    inner, closed, rest = value[1:].partition(quote)
    if not closed or (rest.strip() and not rest.strip().startswith("#")):
        return None
    return inner
