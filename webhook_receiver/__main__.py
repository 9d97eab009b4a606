"""``webhook-receiver``: the process that listens for Stripe."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from outbox_worker import __version__, telemetry
from outbox_worker.env_file import read_env_file
from outbox_worker.errors import SettingsError
from outbox_worker.events import Event
from outbox_worker.settings import SettingsReader
from outbox_worker.systemd import service_manager
from webhook_receiver import app, server

_STOPPED, _FAILED, _MISCONFIGURED = 0, 1, 2


def main() -> int:
    """Run the receiver with the settings of the environment and of ``--env-file``.

    Returns:
        Exit code: 0 after a stop, 1 when the address cannot be listened on, 2 for wrong settings.
    """
    parser = argparse.ArgumentParser(
        prog="webhook-receiver",
        description="Receives Stripe's webhooks. Configured by the environment: DATABASE_URL, "
        "STRIPE_WEBHOOK_SECRET, RECEIVER_ADDRESS and others.",
    )
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="read settings from a file of KEY=VALUE lines; the environment wins",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    path = parser.parse_args().env_file
    try:
        read = {} if path is None else read_env_file(path)
    except SettingsError as error:
        return _misconfigured(error)
    return run({**read, **os.environ})


def run(environ: Mapping[str, str]) -> int:
    """Run the receiver until SIGTERM or Ctrl-C; see `main`.

    Args:
        environ: Environment variables.
    """
    reader = SettingsReader(environ)
    database, stripe = reader.database(), reader.stripe()
    address, log = reader.receiver().address, reader.log()
    try:
        reader.finish()
    except SettingsError as error:
        return _misconfigured(error)
    telemetry.configure(log, service="receiver", stream=sys.stdout)
    try:
        sockets = server.passed(environ) or [server.bound(address)]
    except OSError as error:
        telemetry.logger().error(
            Event.SERVICE_FAILED, message=f"cannot listen on {address}: {error.strerror}"
        )
        return _FAILED
    manager = service_manager(environ)
    application = app.create(
        database.url.reveal(), stripe, told=lambda text: manager.tell(STATUS=text)
    )
    server.allow_files()
    asyncio.run(server.Server(server.configured(application), manager).serve(sockets))
    telemetry.logger().info(Event.SERVICE_STOPPED, message="the receiver has stopped")
    return _STOPPED


def _misconfigured(error: SettingsError) -> int:
    sys.stderr.write("\n  ".join([f"webhook-receiver: {error}:", *error.faults]) + "\n")
    return _MISCONFIGURED


if __name__ == "__main__":
    sys.exit(main())
