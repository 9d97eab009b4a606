"""Everything that runs for one seed: Postgres, PMS, proxies, mailbox, receiver, workers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import httpx

from outbox_worker import migrate
from outbox_worker.pms.port import PmsName
from tests.chaos.database import Database, database
from tests.chaos.fleet import RECEIVER, SIMULATOR, WORKER, Member
from tests.chaos.nemesis import Nemesis
from tests.chaos.points import Trap
from tests.chaos.proxy import proxy
from tests.chaos.rules_guesty import CLIENT_ID, CLIENT_SECRET
from tests.chaos.schedule import SETTINGS
from tests.chaos.site import Site
from tests.support_mail import MailApi, Posted, mail_api
from tests.support_port import kept_ports
from tests.support_simulator import API_KEY, LISTINGS
from tests.support_stripe import SECRET

#: The traps of one start after the other, without end.
Traps: TypeAlias = Iterator[tuple[Trap, ...]]

NO_TRAPS: Traps = itertools.repeat(())


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a run plays on.

    Args:
        pms_name: What the simulator stands in for.
        settings: Of the workers and of an operator's commands.
    """

    pms_name: PmsName
    folder: Path
    database: Database
    workers: tuple[Member, ...]
    receiver: Member
    pms: Member
    nemesis: Nemesis
    mail: MailApi
    site: Site
    receiver_port: int
    settings: Mapping[str, str]

    @property
    def effects(self) -> Path:
        """The simulator's effect log."""
        return self.folder / "simulator" / "effects.jsonl"

    @property
    def requests(self) -> Path:
        """The simulator's log of requests."""
        return self.folder / "simulator" / "requests.jsonl"

    @property
    def journal(self) -> Path:
        """Where crash points are written down."""
        return self.folder / "sprung.jsonl"

    @property
    def logs(self) -> list[Path]:
        """What every process has printed that was ever started."""
        members = (*self.workers, self.receiver, self.pms)
        return [member.log for member in members if member.log.exists()]

    def taken(self) -> list[Posted]:
        """Mails that may have been taken: all but those that were refused."""
        refused = {id(mail) for mail in self.nemesis.refused_mails}
        return [mail for mail in self.mail.posted if id(mail) not in refused]

    def start(self) -> None:
        """Start what takes part in the run; the PMS runs already."""
        for member in (*self.workers, self.receiver):
            member.start()

    def disarm(self) -> None:
        """No crash point springs from now on."""
        (self.folder / "calm").touch()


@dataclass(frozen=True, slots=True, kw_only=True)
class Casting:
    """Who plays, and what each is told.

    Args:
        pms: What the simulator stands in for.
        seed: Of everything that chance decides.
        folder: For logs and files.
        workers: One for each worker: the traps of its starts. Workers may share one.
        receiver: The traps of the receiver's starts.
        settings: Of the workers, over those that every run has.
        patience: How long a process stays stopped that has stopped itself, in seconds.
        longest_stop: See `Member`.
    """

    pms: PmsName
    seed: int
    folder: Path
    workers: tuple[Traps, ...]
    receiver: Traps
    settings: Mapping[str, str]
    patience: Callable[[], float]
    longest_stop: float

    def working(self, mail_url: str, *, pms_port: int) -> dict[str, str]:
        """What is the workers' own of their settings."""
        return {**_worker_settings(mail_url), **_access(self.pms, pms_port), **self.settings}

    def member(
        self, name: str, command: tuple[str, ...], settings: Mapping[str, str], deck: Traps
    ) -> Member:
        """One process of the stage."""
        return Member(
            name=name,
            command=command,
            settings=settings,
            folder=self.folder,
            next_traps=lambda: next(deck),
            patience=self.patience,
            longest_stop=self.longest_stop,
        )


@contextlib.asynccontextmanager
async def stage(casting: Casting) -> AsyncIterator[Stage]:
    """The stage, with the PMS up and nothing else started."""
    async with contextlib.AsyncExitStack() as opened:
        server = opened.enter_context(database())
        await asyncio.to_thread(migrate.apply, server.url)
        site = Site(server.url, pms=casting.pms)
        opened.push_async_callback(site.close)
        await site.build()
        mail = await opened.enter_async_context(mail_api())
        pms_port, receiver_port = kept_ports(2)
        database_side = await opened.enter_async_context(proxy("database", server.port))
        receiver_side = await opened.enter_async_context(proxy("receiver", server.port))
        pms_side = await opened.enter_async_context(proxy("pms", pms_port))
        settings = _common(server.through(database_side.port)) | casting.working(
            mail.url, pms_port=pms_side.port
        )
        workers = tuple(
            casting.member(f"worker{number}", WORKER, settings, deck)
            for number, deck in enumerate(casting.workers, start=1)
        )
        receiving = {
            **_common(server.through(receiver_side.port)),
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "RECEIVER_ADDRESS": f"127.0.0.1:{receiver_port}",
        }
        receiver = casting.member("receiver", RECEIVER, receiving, casting.receiver)
        simulated = (*SIMULATOR, *_simulated(casting, pms_port))
        pms = casting.member("pms", simulated, {}, NO_TRAPS)
        control = await opened.enter_async_context(
            httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{pms_port}")
        )
        nemesis = Nemesis(
            database=server,
            workers=workers,
            receiver=receiver,
            pms=pms,
            pms_name=casting.pms,
            database_side=database_side,
            receiver_side=receiver_side,
            pms_side=pms_side,
            control=control,
            mail=mail,
        )
        for member in (*workers, receiver, pms):
            opened.push_async_callback(member.end)
        pms.start()
        await nemesis.pms_ready()
        yield Stage(
            pms_name=casting.pms,
            folder=casting.folder,
            database=server,
            workers=workers,
            receiver=receiver,
            pms=pms,
            nemesis=nemesis,
            mail=mail,
            site=site,
            receiver_port=receiver_port,
            settings={**settings, "DATABASE_URL": server.url},
        )


def _common(database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "LOG_FORMAT": "json", "OUTBOX_ACTOR": "chaos"}


def _access(pms: PmsName, port: int) -> dict[str, str]:
    url = f"http://127.0.0.1:{port}"
    if pms is PmsName.GUESTLY:
        return {"GUESTLY_API_URL": url, "GUESTLY_API_KEY": API_KEY}
    return {
        "PMS": pms.value,
        "GUESTY_API_URL": url,
        "GUESTY_CLIENT_ID": CLIENT_ID,
        "GUESTY_CLIENT_SECRET": CLIENT_SECRET,
    }


def _worker_settings(mail_url: str) -> dict[str, str]:
    return {
        **SETTINGS,
        "GUESTLY_SYNC_ENABLED": "true",
        "GUESTLY_TEST_MODE": "false",
        "ADMIN_ALERT_EMAIL": "admin@example.com",
        "EMAIL_FROM": "outbox@example.com",
        "EMAIL_API_ENDPOINT": mail_url,
        "EMAIL_API_KEY": "chaos",
        "METRICS_ADDRESS": "",
    }


def _simulated(casting: Casting, port: int) -> tuple[str, ...]:
    listings = casting.folder / "listings.json"
    listings.write_text(json.dumps(dict(LISTINGS)), encoding="utf-8")
    who: tuple[str, ...] = ("--api-key", API_KEY)
    if casting.pms is PmsName.GUESTY:
        who = ("--pms", casting.pms.value, "--client-id", CLIENT_ID)
        who += ("--client-secret", CLIENT_SECRET, "--rate", "0", "0", "0")
    return (
        "--port", str(port), "--state", str(casting.folder / "simulator"),
        "--listings", str(listings), *who, "--seed", str(casting.seed),
    )  # fmt: skip
