"""The stand-in's files: what it holds survives any kill, nothing is answered before it is on disk.

``state.jsonl`` holds whole reservations, guest data included, for it is the PMS's own store.
``effects.jsonl`` is the public log, one line per effect without guest data. A batch is written and
synced to the state first, then to the effects: so an effect in the log always has its state, and a
state without its effect was never answered and is dropped.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from outbox_worker.simulator.effect import Effect, EffectKind
from outbox_worker.simulator.journal_lines import StorageError, effect_from, encoded, state_line
from outbox_worker.simulator.ledger import Ledger, Listing
from outbox_worker.simulator.listings import listed, listings_from
from outbox_worker.simulator.reservation import RequestRefusedError

_KEYS_FORGOTTEN = "forget_keys"


@dataclass(frozen=True, slots=True)
class _Lines:
    state: bytes
    effect: bytes


class Journal:
    """The state directory of one running stand-in, locked against a second one.

    Writes are grouped: whoever waits for durability while a sync is running shares the next one.

    Args:
        directory: Created when missing, readable by its owner alone.

    Raises:
        StorageError: Another process uses the directory, or it cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._state = self._open("state.jsonl")
            self._effects = self._open("effects.jsonl")
            self._requests = self._open("requests.jsonl")
            _sync_directory(directory)
        except BlockingIOError as error:
            raise StorageError(
                f"another simulator is using {directory}",
                hint="Stop it, or give this one a directory of its own.",
            ) from error
        except OSError as error:
            raise StorageError(f"cannot use {directory}: {error.strerror}") from error
        self._pending: list[_Lines] = []
        self._enqueued = 0
        self._durable = 0
        self._sync: asyncio.Task[None] | None = None
        self._failed = False

    def restore(self) -> tuple[Ledger, list[EffectKind], int]:
        """Rebuild what was held, dropping a torn last line and states that were never answered.

        Returns:
            The ledger, the kinds of its effects, and the number of the last request in any file.

        Raises:
            StorageError: A line in the middle is damaged.
        """
        ledger = Ledger()
        effects: list[EffectKind] = []
        last_n = last_request = 0
        for line in self._whole_lines(self._effects, "effects.jsonl"):
            last_n = max(last_n, int(line["n"]))
            last_request = max(last_request, int(line["request"]))
        kept = 0
        for size, line in self._sized_lines(self._state, "state.jsonl"):
            if int(line["n"]) > last_n:
                break
            kept += size
            if line["op"] == _KEYS_FORGOTTEN:
                ledger.forget_keys()
            else:
                effect = effect_from(line)
                ledger.apply(effect)
                effects.append(effect.kind)
        os.ftruncate(self._state, kept)
        if ledger.last_n != last_n:
            raise StorageError(
                f"state.jsonl ends at effect {ledger.last_n}, effects.jsonl at {last_n}",
                hint="The directory was changed by hand; start with an empty one.",
            )
        # never synced, so a power cut may have damaged any line of it
        for _, line in self._sized_lines(self._requests, None):
            last_request = max(last_request, int(line["n"]))
        ledger.list_anew(self._restored_listings())
        return ledger, effects, last_request

    def enqueue(self, effect: Effect) -> None:
        """Take an effect in the order of its number; `flushed` says when it is on disk.

        Raises:
            StorageError: An earlier write failed; nothing is taken any more.
        """
        self._enqueue(_Lines(state=encoded(state_line(effect)), effect=encoded(effect.line())))

    def enqueue_forgotten_keys(self, last_n: int) -> None:
        """Take the fact that all idempotency keys were lost after effect ``last_n``."""
        line = {"n": last_n, "op": _KEYS_FORGOTTEN}
        self._enqueue(_Lines(state=encoded(line), effect=b""))

    async def flushed(self) -> None:
        """Wait until everything taken so far is on disk.

        Raises:
            StorageError: It could not be written.
        """
        target = self._enqueued
        while self._durable < target:
            if self._failed:
                raise StorageError("the state directory cannot be written any more")
            if self._sync is None:
                self._sync = asyncio.create_task(self._write_pending())
            await asyncio.shield(self._sync)

    def note_request(self, line: dict[str, Any]) -> None:
        """Append to ``requests.jsonl``; survives a kill of this process, not of the machine."""
        try:
            os.write(self._requests, encoded(line))
        except OSError:
            self._failed = True

    def keep_listings(self, listings: Sequence[Listing]) -> None:
        """Replace the listings on disk."""
        self._replace("listings.json", listed(listings))

    def keep_tokens(self, tokens: dict[str, Any]) -> None:
        """Replace the tokens on disk.

        Raises:
            StorageError: They could not be written.
        """
        try:
            self._replace("tokens.json", tokens)
        except OSError as error:
            raise StorageError("the state directory cannot be written any more") from error

    def kept_tokens(self) -> dict[str, Any] | None:
        """The tokens on disk, or None.

        Raises:
            StorageError: They cannot be read.
        """
        try:
            tokens: dict[str, Any] = json.loads((self._directory / "tokens.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StorageError("tokens.json is damaged") from error
        return tokens

    async def clear(self) -> None:
        """Forget effects, reservations, keys and requests; the listings stay."""
        while self._durable < self._enqueued:
            await self.flushed()
        # nothing is being written now, and nothing can begin before the next await;
        # effects first: a state without its effect is dropped by `restore`
        for file in (self._effects, self._state, self._requests):
            os.ftruncate(file, 0)
            os.fsync(file)

    def close(self) -> None:
        """Close the files and give up the lock."""
        for file in (self._state, self._effects, self._requests, self._lock):
            os.close(file)

    def _open(self, name: str) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._directory / name, flags, 0o600)

    def _replace(self, name: str, value: object) -> None:
        fresh = self._directory / f"{name}.new"
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as writer:
            writer.write(encoded(value))
            writer.flush()
            os.fsync(file)
        fresh.replace(self._directory / name)
        _sync_directory(self._directory)

    def _enqueue(self, lines: _Lines) -> None:
        if self._failed:
            raise StorageError("the state directory cannot be written any more")
        self._pending.append(lines)
        self._enqueued += 1

    async def _write_pending(self) -> None:
        batch, self._pending = self._pending, []
        try:
            await asyncio.to_thread(self._write, batch)
        except OSError:
            # memory is ahead of the disk for good: nothing more may be answered
            self._failed = True
        else:
            self._durable += len(batch)
        finally:
            self._sync = None

    def _write(self, batch: Sequence[_Lines]) -> None:
        for file, chunk in (
            (self._state, b"".join(lines.state for lines in batch)),
            (self._effects, b"".join(lines.effect for lines in batch)),
        ):
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)

    def _whole_lines(self, file: int, name: str) -> Iterator[dict[str, Any]]:
        kept = 0
        for size, line in self._sized_lines(file, name):
            kept += size
            yield line
        os.ftruncate(file, kept)

    def _sized_lines(self, file: int, name: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
        with os.fdopen(os.dup(file), "rb") as reader:
            reader.seek(0)
            for number, raw in enumerate(reader, start=1):
                if not raw.endswith(b"\n"):
                    return
                try:
                    yield len(raw), json.loads(raw, parse_float=Decimal)
                except ValueError as error:
                    if name is not None:
                        raise StorageError(f"line {number} of {name} is damaged") from error

    def _restored_listings(self) -> list[Listing]:
        try:
            text = (self._directory / "listings.json").read_bytes()
        except FileNotFoundError:
            return []
        try:
            return listings_from(json.loads(text))
        except (ValueError, RequestRefusedError) as error:
            raise StorageError("listings.json is damaged") from error


def _sync_directory(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
