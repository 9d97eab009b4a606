"""The lines of the stand-in's files: one function to write, one to read. Pure."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from outbox_worker.errors import OutboxError
from outbox_worker.simulator.effect import Effect, EffectKind, Write
from outbox_worker.simulator.reservation import (
    RequestRefusedError,
    document,
    restored,
    timestamp,
)


class StorageError(OutboxError):
    """The state directory cannot be used or written."""


def state_line(effect: Effect) -> dict[str, Any]:
    """An effect with all of its reservation."""
    return {
        "n": effect.n,
        "at": timestamp(effect.at),
        "op": effect.kind.value,
        "reservation": document(effect.reservation),
        "idempotency_key": effect.write.idempotency_key,
        "body_sha256": effect.write.body_sha256,
        "request": effect.write.request,
        "fault": effect.write.fault,
        "step": effect.write.step,
        "altered": effect.altered,
        "answer": effect.answer,
    }


def effect_from(line: dict[str, Any]) -> Effect:
    """The effect that `state_line` wrote.

    Raises:
        StorageError: It is none of ours.
    """
    try:
        return Effect(
            n=line["n"],
            at=datetime.fromisoformat(line["at"]),
            kind=EffectKind(line["op"]),
            reservation=restored(line["reservation"]),
            write=Write(
                request=line["request"],
                idempotency_key=line["idempotency_key"],
                body_sha256=line["body_sha256"],
                fault=line["fault"],
                step=line.get("step"),
            ),
            altered=line["altered"],
            answer=line["answer"],
        )
    except (KeyError, TypeError, ValueError, RequestRefusedError) as error:
        raise StorageError("a line of state.jsonl is not a kept effect") from error


def encoded(value: object) -> bytes:
    """A value as a line of JSON."""
    return json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n"
