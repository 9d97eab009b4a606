"""``webhook-receiver``: the process that listens for Stripe."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping

from outbox_worker import telemetry
from outbox_worker.errors import SettingsError
from outbox_worker.events import Event
from outbox_worker.settings import SettingsReader
from webhook_receiver import app, server

_STOPPED, _FAILED, _MISCONFIGURED = 0, 1, 2


def main() -> int:
    """Run the receiver with the environment's settings.

    Returns:
        Exit code: 0 after a stop, 1 when the address cannot be listened on, 2 for wrong settings.
    """
    argparse.ArgumentParser(
        prog="webhook-receiver",
        description="Receives Stripe's webhooks. Configured by the environment: DATABASE_URL, "
        "STRIPE_WEBHOOK_SECRET, RECEIVER_ADDRESS and others.",
    ).parse_args()
    return run(os.environ)


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
        sys.stderr.write("\n  ".join([f"webhook-receiver: {error}:", *error.faults]) + "\n")
        return _MISCONFIGURED
    telemetry.configure(log, service="receiver", stream=sys.stdout)
    try:
        sockets = server.passed(environ) or [server.bound(address)]
    except OSError as error:
        telemetry.logger().error(
            Event.SERVICE_FAILED, message=f"cannot listen on {address}: {error.strerror}"
        )
        return _FAILED
    config = server.configured(app.create(database.url.reveal(), stripe))
    server.allow_files()
    asyncio.run(server.Server(config).serve(sockets))
    telemetry.logger().info(Event.SERVICE_STOPPED, message="the receiver has stopped")
    return _STOPPED


if __name__ == "__main__":
    sys.exit(main())
