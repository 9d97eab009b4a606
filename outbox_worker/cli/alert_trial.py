"""``outbox alerts test``: whether an alert would arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.exits import ExitCode
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.layout import counted, wrapped
from outbox_worker.cli.reply import Reply, printable

if TYPE_CHECKING:
    from outbox_worker.alerts.alert import AlertId
    from outbox_worker.database import Connection
    from outbox_worker.operations.alert_trial import TrialResult
    from outbox_worker.settings import AlertSettings

_PATIENCE_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """What `alerts test` answers.

    Args:
        configured: By channel, how the environment of this command sets it up; None: not at all.
            The running workers may have other settings.
        results: What the workers made of it, with --wait alone.
    """

    alert_id: AlertId
    configured: dict[str, str | None]
    results: tuple[TrialResult, ...] | None


@click.command("test", epilog=examples("outbox alerts test --wait", "outbox alerts test --json"))
@click.option("--wait", is_flag=True, help="Wait until every channel has taken it.")
@click.option(
    "--timeout",
    type=click.IntRange(1, 3600),
    default=_PATIENCE_S,
    show_default=True,
    metavar="SECONDS",
    help="With --wait: not longer than this.",
)
@standard_options
@click.pass_obj
def test(invocation: Invocation, *, wait: bool, timeout: int) -> Reply:
    """Raise a TEST alert, which takes the way of every alert: a row, a worker, the channels.

    With --wait: exit code 0 when a channel took it and none failed, 8 when one of two
    failed, 1 when nobody was told.
    """
    reader = invocation.settings()
    database, settings = reader.database(), reader.alerts()
    reader.finish()
    actor = invocation.actor()
    patience = timedelta(seconds=timeout) if wait else None
    alert_id, results = invocation.on_database(
        database, "alerts test", lambda conn: _test(conn, actor, patience)
    )
    tested = Tested(alert_id=alert_id, configured=_configured(settings), results=results)
    return Reply(data=tested, lines=tuple(_lines(tested)), code=_code(tested))


async def _test(
    conn: Connection, actor: str, patience: timedelta | None
) -> tuple[AlertId, tuple[TrialResult, ...] | None]:
    from outbox_worker.operations.alert_trial import raise_trial, wait_for_channels

    alert_id = await raise_trial(conn, actor=actor)
    if patience is None:
        return alert_id, None
    results = await wait_for_channels(conn, alert_id, patience=patience, stalled=_stalled)
    return alert_id, results


def _stalled(why: str) -> None:
    for line in wrapped(f"still waiting: {why}; Ctrl-C stops waiting only"):
        click.echo(printable(line), err=True)


def _configured(settings: AlertSettings) -> dict[str, str | None]:
    """How this environment sets the channels up, without an address."""
    email = None
    if settings.recipients and (settings.smtp_url or settings.api_key):
        way = "a mail server" if settings.smtp_url else "a mail API"
        email = f"{counted(len(settings.recipients), 'recipient')} through {way}"
    return {"email": email, "chat": "a webhook" if settings.chat_webhook_url else None}


def _code(tested: Tested) -> ExitCode:
    if tested.results is None:
        return ExitCode.DONE
    words = [str(each.became) for each in tested.results if each.became != "not_configured"]
    if "accepted" not in words:
        return ExitCode.FAILED
    return ExitCode.DONE if set(words) == {"accepted"} else ExitCode.PARTLY


def _lines(tested: Tested) -> Iterator[str]:
    yield f"TEST alert {tested.alert_id} raised."
    if tested.results is None:
        for channel, how in tested.configured.items():
            yield f"  {channel:<5}  {how or 'not set up in this environment'}"
        if not any(tested.configured.values()):
            yield from wrapped(
                "this environment sets no channel up; set ADMIN_ALERT_EMAIL, EMAIL_FROM and"
                " SMTP_URL or EMAIL_API_KEY for the worker, or ALERT_CHAT_WEBHOOK_URL",
                first="warning: ",
            )
        yield "next: outbox alerts list --all"
        return
    for each in tested.results:
        yield from wrapped(_became(each), first=f"  {each.channel:<5}  ")
    if all(each.became == "not_configured" for each in tested.results):
        yield from wrapped(
            "Nobody would be told. Set ADMIN_ALERT_EMAIL, EMAIL_FROM and SMTP_URL or"
            " EMAIL_API_KEY for the worker, or ALERT_CHAT_WEBHOOK_URL, and restart it."
        )
    elif _code(tested) is not ExitCode.DONE:
        yield "It is tried again until it is taken."
    yield "next: outbox alerts list --all"


def _became(each: TrialResult) -> str:
    match str(each.became):
        case "accepted":
            return "accepted: look whether it arrived"
        case "not_configured":
            return "not set up"
        case "retried":
            return f"not accepted: {each.error} ({each.code})"
        case _:
            return f"not tried: {each.error}"
