"""``outbox simulator``: a stand-in for the PMS, for rehearsals."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from outbox_worker.cli.examples import examples
from outbox_worker.cli.group import Group
from outbox_worker.cli.invocation import Invocation, standard_options
from outbox_worker.cli.reply import Reply

if TYPE_CHECKING:
    from outbox_worker.simulator import GuestySetup
    from outbox_worker.simulator.ledger import Listing


@click.group("simulator", cls=Group, short_help="A stand-in for the PMS, for rehearsals.")
def command() -> None:
    """A stand-in for Guestly or Guesty that speaks its HTTP API and can be told to fail."""


@command.command(
    "serve",
    epilog=examples(
        "outbox simulator serve --listings listings.json",
        "outbox simulator serve --pms guesty --client-id me --client-secret rehearsal",
        "outbox simulator serve --pms guesty --token-seconds 60 --rate 0 0 0",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8099,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="0: any free port.",
)
@click.option(
    "--state",
    "state_dir",
    default=Path("simulator-state"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that keeps what it holds.",
)
@click.option(
    "--listings",
    "listings_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON: a map from id to title, or a list of {_id, title, active, currency}.",
)
@click.option(
    "--pms",
    type=click.Choice(["guestly", "guesty"]),
    default="guestly",
    show_default=True,
    help="The API that it speaks.",
)
@click.option("--api-key", help="Guestly: bearer key that callers must show. Default: any.")
@click.option("--client-id", help="Guesty: the client that gets tokens. Default: any.")
@click.option("--client-secret", help="Guesty: of that client. Default: any.")
@click.option(
    "--token-seconds", type=click.IntRange(0), help="Guesty: life of a token. Default: 86400."
)
@click.option(
    "--token-quota",
    type=click.IntRange(0),
    help="Guesty: requests for tokens in 24 hours. Default: 5.",
)
@click.option(
    "--rate",
    type=(click.IntRange(0), click.IntRange(0), click.IntRange(0)),
    metavar="SECOND MINUTE HOUR",
    help="Guesty: calls in each; 0: any number. Default: 15 120 5000.",
)
@click.option("--seed", default=0, show_default=True, help="Of the faults' dice.")
@standard_options
@click.pass_obj
def serve(
    invocation: Invocation,
    /,
    *,
    host: str,
    port: int,
    state_dir: Path,
    listings_file: Path | None,
    api_key: str | None,
    pms: str,
    seed: int,
    **guesty: Any,
) -> Reply:
    """Answer until SIGTERM or Ctrl-C; the first line says {"url": ...}.

    Point GUESTLY_API_URL, or with --pms guesty GUESTY_API_URL, at that address. Its page,
    and the switches for faults, are there too. With --json all lines but the last object
    go to stderr.
    """
    from outbox_worker import simulator

    setup = _setup(pms, api_key, guesty)
    reader = invocation.settings()
    log = reader.log()
    reader.finish()
    listings = None if listings_file is None else _listings(listings_file)
    with contextlib.redirect_stdout(sys.stderr if invocation.as_json else sys.stdout):
        code = simulator.serve(
            host=host,
            port=port,
            state_dir=state_dir,
            api_key=api_key,
            log=log,
            listings=listings,
            seed=seed,
            guesty=setup,
        )
    return Reply(data={"exit_code": code}, code=code)


def _setup(pms: str, api_key: str | None, given: dict[str, Any]) -> GuestySetup | None:
    from outbox_worker.simulator import guesty_setup
    from outbox_worker.simulator.reservation import RequestRefusedError

    try:
        return guesty_setup(pms, api_key=api_key, **given)
    except RequestRefusedError as error:
        raise click.UsageError(str(error)) from error


def _listings(file: Path) -> list[Listing]:
    from outbox_worker.simulator import listings_from
    from outbox_worker.simulator.reservation import RequestRefusedError

    try:
        return listings_from(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, RequestRefusedError) as error:
        raise click.BadParameter(f"{file.name}: {error}", param_hint="--listings") from error
