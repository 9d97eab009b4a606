"""One call of the console script: run the command, print its answer, give its exit code."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence

import click

from outbox_worker.cli.exits import ExitCode, exit_code_of
from outbox_worker.cli.invocation import Invocation
from outbox_worker.cli.layout import width_of, wrapped
from outbox_worker.cli.prompt import DeclinedError
from outbox_worker.cli.reply import Fault, Reply, fault_json, fault_lines, printable, reply_json
from outbox_worker.cli.root import outbox
from outbox_worker.errors import AmbiguousRefError, OutboxError, SettingsError
from outbox_worker.redaction import mask

#: What a line of an error begins with; the text of the following ones stands below its text.
_LABEL = re.compile(r"error: |fix: |  - ")
_SETTINGS_HINT = "Set {them} in the environment, or in a file given with --env-file."


def run(args: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command.

    Args:
        args: Arguments without the program's name.
        environ: The environment; only this package reads it, and hands it on.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        # other people's text may hold what the terminal's encoding has not
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    as_json = _wants_json(args)
    try:
        answer = _answer(args, Invocation(environ=environ, as_json=as_json))
        code = _print(answer, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read us has seen enough; the interpreter's flush at exit must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    return code


def _answer(args: Sequence[str], invocation: Invocation) -> Reply | Fault | None:
    """What the command answers; None: click has printed help or the version."""
    try:
        answer = outbox.main(
            args=list(args), prog_name="outbox", standalone_mode=False, obj=invocation
        )
    except (click.exceptions.Abort, KeyboardInterrupt):
        return Fault(code=ExitCode.INTERRUPTED, message="interrupted.")
    except click.ClickException as error:
        return _misused(error)
    except OutboxError as error:
        return _expected(error)
    except BrokenPipeError:
        raise
    except UnicodeEncodeError as error:
        # a path may be any bytes, so arguments are not refused before they are used
        return _no_text(args) or _bug(error)
    except Exception as error:  # noqa: BLE001 - the edge of the process: a bug, too, has an exit code and its JSON
        return _bug(error)
    return answer if isinstance(answer, Reply) else None


def _bug(error: Exception) -> Fault:
    # psycopg quotes rows in its messages
    click.echo(mask("".join(traceback.format_exception(error))), err=True)
    return Fault(
        code=ExitCode.FAILED,
        message=f"unexpected {type(error).__name__}; this is a bug.",
        hint="Report the lines above.",
    )


def _no_text(args: Sequence[str]) -> Fault | None:
    """What to say of the first argument whose bytes are no UTF-8; None: all are text."""
    for argument in args:
        try:
            argument.encode()
        except UnicodeEncodeError:
            return Fault(
                code=ExitCode.USAGE,
                message=f"the argument {argument!r} holds bytes that are no text in UTF-8.",
                hint="Type it again, or copy it from a list that `outbox` prints.",
            )
    return None


def _print(answer: Reply | Fault | None, *, as_json: bool) -> int:
    match answer:
        case None:
            return ExitCode.DONE
        case Reply():
            lines = (reply_json(answer),) if as_json else map(printable, answer.lines)
            for line in lines:
                click.echo(line)
        case Fault():
            if as_json:
                click.echo(fault_json(answer))
            for line in _fitting(answer):
                click.echo(line, err=True)
    return answer.code


def _fitting(fault: Fault) -> Iterator[str]:
    """Its lines, which break at words on a terminal and nowhere else: a log is searched by line."""
    for line in map(printable, fault_lines(fault)):
        if fault.usage or not sys.stderr.isatty():
            yield line
        else:
            label = _LABEL.match(line)
            first = label[0] if label else ""
            yield from wrapped(line.removeprefix(first), first=first, columns=width_of(sys.stderr))


def _wants_json(args: Sequence[str]) -> bool:
    options = list(args)
    return "--json" in (options[: options.index("--")] if "--" in options else options)


def _misused(error: click.ClickException) -> Fault:
    if isinstance(error, DeclinedError):
        return Fault(code=ExitCode.DECLINED, message=error.format_message())
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "outbox"
    bare = isinstance(error, click.exceptions.NoArgsIsHelpError)
    return Fault(
        code=ExitCode.USAGE,
        message=f"`{path}` needs a command." if bare else error.format_message(),
        hint=getattr(error, "hint", f"`{path} --help` shows how it is used."),
        details=getattr(error, "details", ()),
        usage=error.format_message() if bare else "",
    )


def _expected(error: OutboxError) -> Fault:
    details: tuple[str, ...] = ()
    hint = error.hint
    match error:
        case SettingsError(faults=faults):
            them = "it" if len(faults) == 1 else "them"
            details, hint = faults, hint or _SETTINGS_HINT.format(them=them)
        case AmbiguousRefError(candidates=candidates):
            details = candidates
        case _:
            pass
    message = str(error)
    return Fault(
        code=exit_code_of(error),
        message=message if message.endswith((".", "?", "!")) else f"{message}.",
        hint=hint,
        details=details,
    )
