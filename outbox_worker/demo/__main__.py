"""``python -m outbox_worker.demo``: what ``make demo`` and ``make run`` start."""

from __future__ import annotations

import argparse
import asyncio
import io
import signal
import sys
from types import FrameType
from typing import NoReturn

from rich.console import Console

from outbox_worker.demo.play import play
from outbox_worker.demo.stack import up
from outbox_worker.demo.stay import stay
from outbox_worker.errors import OutboxError
from outbox_worker.pms.port import PmsName

_DONE, _FAILED, _INTERRUPTED, _TERMINATED = 0, 1, 130, 143


def main() -> int:
    """Run the demo.

    Returns:
        0: every count was as expected. 1: one was not, or something could not be started.
        130: interrupted.
    """
    options = _options()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 misses some signs
    console = Console()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        name = options.pms.display_name
        console.print(f"Starting Postgres, the {name} simulator, the receiver and the worker …")
        with up(options.pms, webhook_secret=options.stripe_secret, port=options.port) as stack:
            if options.keep_running:
                asyncio.run(stay(stack, console))
                return _DONE
            console.print(f"{stack.postgres}. Everything runs.\n", highlight=False)
            good = asyncio.run(play(stack, console, hidden=options.hide_reservation))
    except KeyboardInterrupt:
        console.print("\nStopped; nothing is left behind.")
        return _DONE if options.keep_running else _INTERRUPTED
    except OutboxError as error:
        Console(stderr=True).print(f"{error}\n{error.hint}".strip(), markup=False, style="red")
        return _FAILED
    if not good:
        console.print("\nThe demo FAILED: not everything is as expected.", style="bold red")
        return _FAILED
    console.print(
        f"\nEvery paid booking is at {name} exactly once. All processes have been stopped."
    )
    return _DONE


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m outbox_worker.demo", description=__doc__)
    parser.add_argument(
        "--pms",
        choices=[name.value for name in PmsName],
        default=PmsName.GUESTLY.value,
        help="the system that is stood in for (default: guestly)",
    )
    parser.add_argument(
        "--keep-running", action="store_true", help="keep the stack up until Ctrl-C"
    )
    parser.add_argument(
        "--stripe-secret",
        metavar="WHSEC",
        help="accept events signed with this secret too (that of `stripe listen`)",
    )
    parser.add_argument(
        "--port", type=int, help="where the receiver listens, if that is free (default: anywhere)"
    )
    parser.add_argument(
        "--hide-reservation",
        metavar="N",
        type=int,
        help="leave the Nth reservation out of the effect log: the demo has to notice and fail",
    )
    options = parser.parse_args()
    options.pms = PmsName(options.pms)
    return options


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    sys.exit(_TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
