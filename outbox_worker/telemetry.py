"""Logging: one JSON object a line, or plain lines on a terminal, libraries' lines included.

    configure(log_settings, service="worker")
    logger().info(Event.SERVICE_STARTED, message="Worker started", pid=os.getpid())

Every line passes `redaction.redact` last, right before it is rendered.
"""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from outbox_worker.redaction import Json, redact
from outbox_worker.settings_types import LogFormat, LogSettings

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger
    from structlog.typing import Processor

_Fields: TypeAlias = MutableMapping[str, Any]

#: Libraries that tell every request at info, which our own line per attempt already does.
_QUIET = ("httpx", "httpcore", "uvicorn.access", "yoyo", "asyncio")
#: Libraries that tell every attempt to reconnect, which our own lines tell once per change.
_SILENT = ("psycopg.pool",)
#: uvicorn hangs handlers of its own on these unless it is told not to configure logging.
_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access")
_FIRST = ("ts", "level", "event", "service", "message")
#: Controls and line breaks beyond ASCII, which JSON permits within a string and readers of lines do
#: not.
_BREAKS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_PLAIN = "\x1b[0m"


def configure(log: LogSettings, *, service: str, stream: TextIO | None = None) -> None:
    """Send the log of this process to one stream; calling it again replaces what it set up before.

    Args:
        log: Format and level; ``auto`` is console where the stream is a terminal.
        service: Which process this is, such as ``worker`` or ``receiver``; a field of every line.
        stream: Where to; None: standard error.
    """
    # imported where a line is to be written: it loads a tenth of all that a command loads
    import structlog
    from structlog.stdlib import BoundLogger, ProcessorFormatter

    stream = sys.stderr if stream is None else stream
    if isinstance(stream, io.TextIOWrapper):
        # a log line must not fail because the terminal cannot show a character of it
        stream.reconfigure(errors="backslashreplace")
    terminal = stream.isatty()
    console = log.format is LogFormat.CONSOLE or (log.format is LogFormat.AUTO and terminal)
    chain = _chain(service)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *chain,
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*chain, _library_event],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                _redacted,
                _Console(colours=terminal) if console else _json,
            ],
        )
    )
    _route(handler, level=getattr(logging, log.level.upper()))


def logger() -> BoundLogger:
    """The process's logger; events are members of `events.Event`, ids are keyword arguments.

    In a program that is not ours, and has not configured structlog, lines go to the standard
    library's logger ``outbox``: what is shown of them, and where, is the program's choice.
    """
    import structlog

    if structlog.is_configured():
        return structlog.stdlib.get_logger("outbox")
    chain = [structlog.stdlib.filter_by_level, *_chain("library"), _redacted, _json]
    hosted: BoundLogger = structlog.wrap_logger(
        logging.getLogger("outbox"), processors=chain, wrapper_class=structlog.stdlib.BoundLogger
    )
    return hosted


def written(level: int) -> bool:
    """Whether lines of such a level are written at all, for whoever has many of them to say."""
    return logging.getLogger("outbox").isEnabledFor(level)


def _chain(service: str) -> list[Processor]:
    """What every line passes first, our own and the libraries'."""
    import structlog

    def add_service(_logger: object, _method: str, fields: _Fields) -> _Fields:
        fields["service"] = service
        return fields

    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        add_service,
        structlog.processors.format_exc_info,
    ]


def _route(handler: logging.Handler, *, level: int) -> None:
    """Lead everything that is logged in this process to one handler."""
    root = logging.getLogger()
    for old in [entry for entry in root.handlers if isinstance(entry, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _OWN_HANDLERS:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; a line that cannot be written is not printed elsewhere, unredacted."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name
        error = sys.exc_info()[0]
        if error is not None and sys.stderr is not None and not issubclass(error, BrokenPipeError):
            sys.stderr.write(f"a log line of {record.name} was lost: {error.__name__}\n")


def _library_event(_logger: object, _method: str, fields: _Fields) -> _Fields:
    # a library's record has one text: it becomes the message, and the library's name the event
    record: logging.LogRecord = fields["_record"]
    fields["message"] = fields["event"]
    fields["event"] = f"library.{record.name}"
    return fields


def _redacted(_logger: object, _method: str, fields: _Fields) -> dict[str, Json]:
    kept = redact(fields)
    return {key: kept.pop(key) for key in _FIRST if key in kept} | kept


def _json(_logger: object, _method: str, fields: _Fields) -> str:
    return json.dumps(fields, ensure_ascii=False).translate(_BREAKS)


class _Console:
    """Renders one line for a person: time, level, sentence, ids; a traceback below it."""

    def __init__(self, *, colours: bool) -> None:
        self._colours = colours

    def __call__(self, _logger: object, _method: str, fields: _Fields) -> str:
        time = str(fields.pop("ts", ""))[11:19]
        level = str(fields.pop("level", "info"))
        event = str(fields.pop("event", ""))
        sentence = str(fields.pop("message", event))
        trace = fields.pop("exception", None)
        fields.pop("service", None)
        ids = " ".join(f"{key}={value}" for key, value in fields.items())
        # a line break or an escape sequence from outside could forge a line
        line = _printable(f"{time} {level:<7} {sentence}  [{event}] {ids}".rstrip())
        if self._colours and level in _COLOURS:
            line = f"{_COLOURS[level]}{line}{_PLAIN}"
        if trace:
            line += "\n" + "\n".join(_printable(part) for part in str(trace).splitlines())
        return line


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
