"""Settings as they take effect: where each comes from, and everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from outbox_worker.errors import SettingsError
from outbox_worker.settings import SettingsReader
from outbox_worker.settings_catalogue import GROUPS, Setting
from outbox_worker.settings_risks import mail_risks, risks
from outbox_worker.settings_source import default_of, text_of

#: Needed by the receiver alone; whoever has none may still run everything else.
_RECEIVER_ONLY = "STRIPE_WEBHOOK_SECRET is missing"
_DATABASE_ADDRESSES = frozenset({"DATABASE_URL", "DATABASE_LISTEN_URL"})
_MAIL_ACCESS = frozenset({"EMAIL_API_KEY", "SMTP_URL"})
_RESERVED = "Reserved:"
#: The one setting whose empty value means something: no server.
_EMPTY_IS_OFF = "METRICS_ADDRESS"


class Source(StrEnum):
    """Where a setting's value comes from."""

    ENVIRONMENT = "environment"
    #: The file given with ``--env-file``.
    ENV_FILE = "env-file"
    #: The file named by ``NAME_FILE``.
    FILE = "file"
    #: A systemd credential.
    CREDENTIAL = "credential"
    DEFAULT = "default"
    UNSET = "unset"


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSetting:
    """One setting.

    Args:
        value: As it takes effect. Of a secret only what does not give it away; None: it has none,
            or cannot be used.
        faulty: Whether something is wrong with it.
        reserved: Whether this version does not use it.
    """

    name: str
    group: str
    value: str | None
    source: Source
    secret: bool
    faulty: bool
    reserved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """All settings.

    Args:
        faults: Every fault of every process's settings, one sentence each, without a value.
        notes: What only some of the processes need, and what is allowed and yet risky.
    """

    settings: tuple[EffectiveSetting, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def read_configuration(
    environ: Mapping[str, str], *, from_env_file: AbstractSet[str] = frozenset()
) -> Configuration:
    """Read every setting of every process; needs no database and calls nobody.

    Args:
        environ: The process's environment, completed from the file given with ``--env-file``.
        from_env_file: Names that this file gave.
    """
    all_faults = tuple(_faults(environ))
    faults = tuple(fault for fault in all_faults if not fault.startswith(_RECEIVER_ONLY))
    wrong = {fault.partition(" ")[0] for fault in faults}
    notes = (
        *(
            "STRIPE_WEBHOOK_SECRET is not set: webhook-receiver needs it, nothing else does"
            for fault in all_faults
            if fault.startswith(_RECEIVER_ONLY)
        ),
        *risks(SettingsReader(environ).sync()),
        *(() if wrong & _MAIL_ACCESS else mail_risks(SettingsReader(environ).alerts())),
    )
    return Configuration(
        settings=tuple(
            _effective(setting, group.title, environ, from_env_file, faulty=setting.name in wrong)
            for group in GROUPS
            for setting in group.settings
        ),
        faults=faults,
        notes=notes,
    )


def _faults(environ: Mapping[str, str]) -> Iterator[str]:
    reader = SettingsReader(environ)
    reader.database()
    reader.stripe()
    reader.sync()
    reader.worker()
    reader.alerts()
    reader.receiver()
    reader.retention()
    reader.log()
    reader.actor()
    try:
        reader.finish()
    except SettingsError as error:
        yield from error.faults


def _effective(
    setting: Setting,
    group: str,
    environ: Mapping[str, str],
    from_env_file: AbstractSet[str],
    *,
    faulty: bool,
) -> EffectiveSetting:
    source = _source(setting, environ, from_env_file)
    try:
        text = text_of(setting.name, environ)
    except ValueError:
        text = ""
    off = setting.name == _EMPTY_IS_OFF and source is not Source.DEFAULT and not text
    value = None if off else text or default_of(setting.name, environ) or None
    if faulty:
        # never the text that is wrong: somebody may have put a secret into the wrong place
        value = None
    return EffectiveSetting(
        name=setting.name,
        group=group,
        value=value if value is None else _shown(setting, value),
        source=source,
        secret=setting.secret,
        faulty=faulty,
        reserved=setting.about.startswith(_RESERVED),
    )


def _source(
    setting: Setting, environ: Mapping[str, str], from_env_file: AbstractSet[str]
) -> Source:
    name = setting.name
    if environ.get(name, "").strip() or (name == _EMPTY_IS_OFF and name in environ):
        return Source.ENV_FILE if name in from_env_file else Source.ENVIRONMENT
    if setting.secret:
        if environ.get(f"{name}_FILE", "").strip():
            return Source.FILE
        try:
            if text_of(name, environ):
                return Source.CREDENTIAL
        except ValueError:
            return Source.CREDENTIAL
    return Source.DEFAULT if setting.default else Source.UNSET


def _shown(setting: Setting, text: str) -> str:
    if not setting.secret:
        return text
    if setting.name in _DATABASE_ADDRESSES:
        return _database(text)
    if setting.name == "STRIPE_WEBHOOK_SECRET":
        count = len(text.split(","))
        return f"set, {count} secret{'' if count == 1 else 's'}"
    return f"set, {len(text)} character{'' if len(text) == 1 else 's'}"


def _database(text: str) -> str:
    """Which database, without user, password and options."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(text)
    except (psycopg.Error, UnicodeError):
        return "set"
    where = f"{parts.get('host') or 'the local socket'}:{parts.get('port') or 5432}"
    return f"set, database {parts.get('dbname') or 'of the user'} on {where}"
