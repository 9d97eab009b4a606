"""The catalogue of log events: every dotted name that any process of this project emits.

A test fails on a name that is emitted but not listed, and on one that is listed but never emitted.
"""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """Log event names, ``noun.verb_past``; the value is the ``event`` field of a log line."""

    # processes
    SERVICE_STARTED = "service.started"
    SERVICE_READY = "service.ready"
    SERVICE_DRAINING = "service.draining"
    SERVICE_STOPPED = "service.stopped"
    SERVICE_FAILED = "service.failed"
    NOTIFY_FAILED = "notify.failed"
    HEALTH_SERVED = "health.served"
    HEALTH_FAILED = "health.failed"
    # Postgres
    DATABASE_LOST = "database.lost"
    DATABASE_RESTORED = "database.restored"
    LISTEN_LOST = "listen.lost"
    LISTEN_RESTORED = "listen.restored"
    LISTEN_UNPROVED = "listen.unproved"
    # watched from outside
    HEARTBEAT_LOST = "heartbeat.lost"
    HEARTBEAT_RESTORED = "heartbeat.restored"
    # the engine
    ATTEMPT_FINISHED = "attempt.finished"
    ATTEMPT_FAILED = "attempt.failed"
    RETRY_SCHEDULED = "retry.scheduled"
    DELIVERY_LOST = "delivery.lost"
    DELIVERY_RELEASED = "delivery.released"
    SETTLE_REFUSED = "settle.refused"
    SETTLE_FAILED = "settle.failed"
    SETTLE_DEFERRED = "settle.deferred"
    LEASE_EXTENDED = "lease.extended"
    HANDLER_CRASHED = "handler.crashed"
    DELIVERY_REDRIVEN = "delivery.redriven"
    GATE_FAILED = "gate.failed"
    RATE_SHARED = "rate.shared"
    CIRCUIT_OPENED = "circuit.opened"
    CIRCUIT_CLOSED = "circuit.closed"
    CIRCUIT_PROBED = "circuit.probed"
    TOKEN_RENEWED = "token.renewed"  # noqa: S105 # a name
    TOKEN_FAILED = "token.failed"  # noqa: S105 # a name
    SYNC_DISABLED = "sync.disabled"
    SYNC_TESTING = "sync.testing"
    SYNC_RISKY = "sync.risky"
    # bookings
    BOOKING_SYNCED = "booking.synced"
    BOOKING_FAILED = "booking.failed"
    BOOKING_TESTED = "booking.tested"
    BOOKING_WARNED = "booking.warned"
    # alerts
    ALERT_SENT = "alert.sent"
    ALERT_UNCONFIGURED = "alert.unconfigured"
    # the receiver
    WEBHOOK_RECEIVED = "webhook.received"
    WEBHOOK_REFUSED = "webhook.refused"
    WEBHOOK_UNAVAILABLE = "webhook.unavailable"
    WEBHOOK_CRASHED = "webhook.crashed"
    EVENT_FAILED = "event.failed"
    # the simulator
    SIMULATOR_ANSWERED = "simulator.answered"
