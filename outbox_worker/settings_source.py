"""Where a setting comes from: environment, file or systemd credential; and misspelt names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from outbox_worker.settings_catalogue import SETTINGS, known_names

#: Shorter names are too near to the host's own, such as PWD.
_SHORTEST_MISSPELT = 8
_MISSPELT_EDITS = 2
_SECRET_FILE_BYTES = 65536
#: Guesty works a change off after it has answered, and its search lags behind.
_WITH_GUESTY: Mapping[str, str] = MappingProxyType({"PMS_QUIET_SECONDS": "90"})


def text_of(name: str, environ: Mapping[str, str]) -> str:
    """Text of one setting, without the white space around it; empty when unset.

    A secret is looked for under its name, in the file that ``NAME_FILE`` names, and in systemd's
    directory of credentials, where a blank one counts as unset.

    Raises:
        ValueError: Given in more than one place, or its file cannot be used; the message ends a
            sentence that begins with the setting's name.
    """
    direct = environ.get(name, "").strip()
    if not SETTINGS[name].secret:
        return direct
    places = {name: direct} if direct else {}
    file = environ.get(f"{name}_FILE", "").strip()
    if file:
        places[f"{name}_FILE"] = file
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if directory and _filled(Path(directory) / name):
        places["a systemd credential"] = str(Path(directory) / name)
    if len(places) > 1:
        raise ValueError(
            f"is given more than once ({', '.join(places)}), and they may differ: keep one"
        )
    if direct or not places:
        return direct
    ((place, path),) = places.items()
    return _read(Path(path), place=place)


def default_of(name: str, environ: Mapping[str, str]) -> str:
    """The default that takes effect beside the other settings; empty: there is none."""
    if environ.get("PMS", "").strip().lower() == "guesty" and name in _WITH_GUESTY:
        return _WITH_GUESTY[name]
    return SETTINGS[name].default


def misspelt(environ: Mapping[str, str]) -> Iterator[str]:
    """One sentence for each name that is no setting but within two edits of one.

    Where the setting itself is given too, the other name is the host's own business.
    """
    known = sorted(known_names())
    for name, value in environ.items():
        if name in known or len(name) < _SHORTEST_MISSPELT or not value.strip():
            continue
        # a comparison costs the product of the lengths, and this runs at every start
        near = [other for other in known if abs(len(other) - len(name)) <= _MISSPELT_EDITS]
        nearest = min(near, key=lambda other: edits(name.upper(), other), default="")
        if edits(name.upper(), nearest) <= _MISSPELT_EDITS and not environ.get(nearest, "").strip():
            yield (
                f"{name} is not a setting and would be ignored: did you mean {nearest}? "
                "Rename it or remove it"
            )


def edits(left: str, right: str) -> int:
    """How many characters must be inserted, removed or replaced to turn one name into the other.

    Two neighbours that changed places count as two, which is still within what counts as misspelt.

    Source: R. Wagner, M. Fischer, "The String-to-String Correction Problem", Journal of the ACM,
    1974.
    """
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        above, row = row, [i]
        for j, b in enumerate(right, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
    return row[-1]


def _filled(credential: Path) -> bool:
    """Whether a credential was given; a unit may name one that has a blank stand-in."""
    try:
        with credential.open("rb") as file:
            return bool(file.read(_SECRET_FILE_BYTES).strip())
    except FileNotFoundError:
        return False
    except OSError:
        return True  # whoever reads it says what is wrong


def _read(path: Path, *, place: str) -> str:
    # only the system's own word for the failure is passed on: a path may be somebody's secret put
    # in the wrong variable
    try:
        with path.open("rb") as file:
            content = file.read(_SECRET_FILE_BYTES + 1)
        text = content.decode("utf-8").strip()
    except OSError as error:
        raise ValueError(
            f"cannot be read from {place} ({error.strerror}): check path and permissions"
        ) from None
    except ValueError:
        raise ValueError(f"cannot be read from {place}: write the file in UTF-8") from None
    if len(content) > _SECRET_FILE_BYTES:
        raise ValueError(f"cannot be read from {place}: over 64 KiB, so probably the wrong file")
    if not text:
        raise ValueError(f"is empty in {place}: write the secret into it, or remove it")
    return text
