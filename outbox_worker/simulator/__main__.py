"""``python -m outbox_worker.simulator``: the stand-in without the rest of the house."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from outbox_worker.settings import LogFormat, LogLevel, LogSettings
from outbox_worker.simulator import GuestySetup, guesty_setup, listings_from, serve
from outbox_worker.simulator.ledger import Listing
from outbox_worker.simulator.reservation import RequestRefusedError


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=0, show_default=True, type=click.IntRange(0, 65535), help="0: any free port."
)
@click.option(
    "--state",
    "state_dir",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that keeps what it holds.",
)
@click.option(
    "--listings",
    "listings_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON: a map from id to title, or a list of {_id, title, active}.",
)
@click.option("--api-key", help="Bearer key that callers must show. Default: any key will do.")
@click.option(
    "--pms",
    type=click.Choice(["guestly", "guesty"]),
    default="guestly",
    show_default=True,
    help="The API that it speaks.",
)
@click.option("--client-id", help="Guesty: the client that gets tokens. Default: any.")
@click.option("--client-secret", help="Guesty: of that client. Default: any.")
@click.option("--token-seconds", type=click.IntRange(0), help="Guesty: life of a token.")
@click.option("--token-quota", type=click.IntRange(0), help="Guesty: tokens in 24 hours.")
@click.option(
    "--rate",
    type=(click.IntRange(0), click.IntRange(0), click.IntRange(0)),
    help="Guesty: calls a second, minute and hour; 0: any number.",
)
@click.option("--seed", default=0, show_default=True, help="Of the faults' dice.")
@click.option(
    "--log-level", type=click.Choice(list(LogLevel)), default=LogLevel.INFO, show_default=True
)
def main(
    *,
    host: str,
    port: int,
    state_dir: Path,
    listings_file: Path | None,
    api_key: str | None,
    seed: int,
    pms: str,
    log_level: LogLevel,
    **guesty: Any,
) -> None:
    """Run the stand-in until SIGTERM or Ctrl-C."""
    setup = _setup(pms, api_key, guesty)
    listings = None if listings_file is None else _listings(listings_file)
    log = LogSettings(format=LogFormat.AUTO, level=LogLevel(log_level))
    sys.exit(
        serve(
            host=host,
            port=port,
            state_dir=state_dir,
            api_key=api_key,
            log=log,
            listings=listings,
            seed=seed,
            guesty=setup,
        )
    )


def _setup(pms: str, api_key: str | None, given: dict[str, Any]) -> GuestySetup | None:
    try:
        return guesty_setup(pms, api_key=api_key, **given)
    except RequestRefusedError as error:
        raise click.UsageError(str(error)) from error


def _listings(file: Path) -> list[Listing]:
    try:
        return listings_from(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, RequestRefusedError) as error:
        raise click.BadParameter(f"{file.name}: {error}", param_hint="--listings") from error


main()
