"""The whole house on one machine, as real processes: Postgres, simulator, receiver and worker."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from outbox_worker.demo.mailbox import Mailbox, mailbox
from outbox_worker.demo.postgres import cluster
from outbox_worker.demo.process import (
    ProcessError,
    Program,
    child_environment,
    free_port,
    running,
    wait_until,
    wait_until_answers,
)
from outbox_worker.demo.site import PROPERTIES
from outbox_worker.events import Event
from outbox_worker.pms.port import PmsName

#: Shorter than in production, so that nobody has to wait: the defaults are 15 and 30 seconds.
_SHORT_WAITS = {"PMS_TIMEOUT_SECONDS": "2", "PMS_QUIET_SECONDS": "2"}
SHORTENED = ", ".join(f"{name}={value}" for name, value in _SHORT_WAITS.items())
_COMMAND_SECONDS = 60
_CLIENT_ID = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What an operator's command answered; ``output`` is all that it printed."""

    code: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Everything that runs, and how to talk to it.

    Args:
        pms: The system that the simulator stands in for.
        postgres: For people: which server it is.
        webhook_secret: What events are signed with.
        effects: The simulator's effect log.
        settings: Those of the worker and of the operator's commands.
    """

    pms: PmsName
    postgres: str
    database_url: str
    simulator_url: str
    receiver_url: str
    webhook_secret: str
    effects: Path
    mailbox: Mailbox
    settings: Mapping[str, str]
    folder: Path
    programs: tuple[Program, ...]

    @property
    def pms_title(self) -> str:
        """The PMS as people call it."""
        return self.pms.display_name

    @property
    def settings_file(self) -> Path:
        """The same settings as a file for ``--env-file``."""
        return self.folder / "settings.env"

    @property
    def worker_log(self) -> Path:
        """One JSON object a line."""
        return self.folder / "worker.log"

    def check(self) -> None:
        """Notice a process that has ended.

        Raises:
            ProcessError: One has.
        """
        for program in self.programs:
            program.check()

    def outbox(self, *arguments: str) -> CommandResult:
        """Run one command of the console script ``outbox`` as an operator would."""
        return _command(arguments, settings=self.settings, folder=self.folder)


_OUTBOX = (sys.executable, "-m", "outbox_worker.cli")


@contextlib.contextmanager
def up(
    pms: PmsName, *, webhook_secret: str | None = None, port: int | None = None
) -> Iterator[Stack]:
    """Run the stack for the length of a block; nothing of it is left afterwards.

    Args:
        pms: The system that the simulator stands in for.
        webhook_secret: An additional one that events may be signed with.
        port: Where the receiver listens if it is free; None: anywhere.

    Raises:
        PostgresStartError: No server to be had.
        ProcessError: A process ended or never became ready.
    """
    with contextlib.ExitStack() as opened:
        # Durable: what the demo counts at the end has to be worth something.
        server = opened.enter_context(cluster(durable=True))
        folder = server.folder / "demo"
        folder.mkdir(mode=0o700)
        box = opened.enter_context(mailbox())
        own_secret = f"whsec_{secrets.token_hex(16)}"
        secret = secrets.token_hex(16)
        common = _common_settings(server.url)
        simulator, simulator_url = _simulator(opened, folder, common, _credentials(pms, secret))
        worker_settings = common | _worker_settings(box.url) | _access(pms, simulator_url, secret)
        migrated = _command(["migrate"], settings=worker_settings, folder=folder)
        if migrated.code != 0:
            raise ProcessError(f"outbox migrate ended with {migrated.code}: {migrated.output}")
        accepted = ",".join(filter(None, (own_secret, webhook_secret)))
        receiver, receiver_url = _receiver(opened, folder, common, accepted, port)
        worker = opened.enter_context(
            running(
                "worker",
                [*_OUTBOX, "worker", "run"],
                settings=worker_settings,
                folder=folder,
            )
        )
        wait_until_answers(f"{receiver_url}/readyz", receiver)
        stack = Stack(
            pms=pms,
            postgres=f"Postgres {server.version} ({server.source})",
            database_url=server.url,
            simulator_url=simulator_url,
            receiver_url=f"{receiver_url}/webhooks/stripe",
            webhook_secret=own_secret,
            effects=folder / "simulator" / "effects.jsonl",
            mailbox=box,
            settings=worker_settings,
            folder=folder,
            programs=(simulator, receiver, worker),
        )
        lines = (f"{name}={value}\n" for name, value in worker_settings.items())
        stack.settings_file.write_text("".join(lines), encoding="utf-8")
        yield stack


def _common_settings(database_url: str) -> dict[str, str]:
    """Settings that all processes share."""
    return {
        "DATABASE_URL": database_url,
        "LOG_FORMAT": "json",
        "OUTBOX_ACTOR": "demo",
    }


def _access(pms: PmsName, simulator_url: str, secret: str) -> dict[str, str]:
    """How the simulator is reached, in the words of the settings."""
    match pms:
        case PmsName.GUESTLY:
            return {"GUESTLY_API_URL": simulator_url, "GUESTLY_API_KEY": secret}
        case PmsName.GUESTY:
            return {
                "PMS": pms.value,
                "GUESTY_API_URL": simulator_url,
                "GUESTY_CLIENT_ID": _CLIENT_ID,
                "GUESTY_CLIENT_SECRET": secret,
            }
        case _:
            assert_never(pms)


def _credentials(pms: PmsName, secret: str) -> tuple[str, ...]:
    """What the simulator is, and whom it lets in, as options of its command."""
    match pms:
        case PmsName.GUESTLY:
            return ("--api-key", secret)
        case PmsName.GUESTY:
            return ("--pms", pms.value, "--client-id", _CLIENT_ID, "--client-secret", secret)
        case _:
            assert_never(pms)


def _worker_settings(mail_url: str) -> dict[str, str]:
    return {
        "GUESTLY_SYNC_ENABLED": "true",
        "GUESTLY_TEST_MODE": "false",
        **_SHORT_WAITS,
        "ADMIN_ALERT_EMAIL": "admin@example.com",
        "EMAIL_FROM": "outbox@example.com",
        "EMAIL_API_ENDPOINT": mail_url,
        "EMAIL_API_KEY": "demo",
        "METRICS_ADDRESS": "",
    }


def _simulator(
    opened: contextlib.ExitStack,
    folder: Path,
    settings: Mapping[str, str],
    credentials: Sequence[str],
) -> tuple[Program, str]:
    listings = folder / "listings.json"
    listings.write_text(json.dumps({one.listing_id: one.name for one in PROPERTIES}))
    arguments = ["--port", "0", "--state", "simulator", "--listings", listings.name]
    program = opened.enter_context(
        running(
            "simulator",
            [*_OUTBOX, "simulator", "serve", *arguments, *credentials],
            settings=settings,
            folder=folder,
        )
    )
    wait_until(lambda: b"\n" in program.log.read_bytes(), program)
    try:
        url: str = json.loads(program.log.read_text(encoding="utf-8").splitlines()[0])["url"]
    except (ValueError, KeyError, TypeError):
        program.check()
        raise ProcessError(f"{program.name} did not say where it listens") from None
    return program, url


def _receiver(
    opened: contextlib.ExitStack,
    folder: Path,
    settings: Mapping[str, str],
    secrets_accepted: str,
    port: int | None,
) -> tuple[Program, str]:
    # where none is wanted it binds one itself: one chosen here could be taken before it does
    wanted = 0 if port is None else free_port(port)
    program = opened.enter_context(
        running(
            "receiver",
            [sys.executable, "-m", "webhook_receiver"],
            settings={
                **settings,
                "STRIPE_WEBHOOK_SECRET": secrets_accepted,
                "RECEIVER_ADDRESS": f"127.0.0.1:{wanted}",
            },
            folder=folder,
        )
    )
    wait_until(lambda: _address(program) is not None, program)
    return program, f"http://{_address(program)}"


def _address(program: Program) -> str | None:
    """Where the receiver says that it listens; None: it has not said so yet."""
    for line in program.log.read_bytes().splitlines():
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict) and said.get("event") == Event.SERVICE_STARTED:
                return str(said["address"])
    return None


def _command(
    arguments: Sequence[str], *, settings: Mapping[str, str], folder: Path
) -> CommandResult:
    done = subprocess.run(  # noqa: S603 (this interpreter, arguments of ours)
        [*_OUTBOX, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        cwd=folder,
        env=child_environment(settings),
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    return CommandResult(code=done.returncode, output=done.stdout.strip())
