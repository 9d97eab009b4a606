"""What a channel for alerts is to the rest of the house: one message, taken or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from outbox_worker.alerts.alert import AlertId

Message_contra = TypeVar("Message_contra", contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """One mail, without sender and recipients.

    Args:
        alert_id: The alert that it is about.
        subject: At most 80 characters, ASCII, one line.
        text: Plain text; complete in itself.
        html: The same for people.
        message_id: With its angle brackets. The same mail always has the same one, so that a
            mailbox can drop a repetition.
        references: Message-IDs of the mails that it follows, oldest first.
        written_at: By the database's clock, as a machine whose own clock is wrong would send it to
            the wrong end of a mailbox; aware UTC.
    """

    alert_id: AlertId
    subject: str
    text: str
    html: str
    message_id: str
    references: tuple[str, ...]
    written_at: datetime

    @property
    def headers(self) -> dict[str, str]:
        """Headers beyond subject, sender and recipients, by name."""
        headers = {
            "Message-ID": self.message_id,
            # keeps absence notes from answering an alert
            "Auto-Submitted": "auto-generated",
            "X-Booking-Outbox-Alert": str(self.alert_id),
        }
        if self.references:
            headers["In-Reply-To"] = self.references[0]
            headers["References"] = " ".join(self.references)
        return headers


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message for a chat.

    Args:
        alert_id: The alert that it is about.
        text: In Slack's markup, at most `alerts.render_chat.LIMIT` characters; nothing in it
            mentions or notifies anybody by name.
    """

    alert_id: AlertId
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The channel took the message.

    Args:
        refused: Recipients that it did not take; at least one other was taken.
        http_status: Status of the answer, where there is one.
    """

    refused: int = 0
    http_status: int | None = None


class AlertChannel(Protocol[Message_contra]):
    """Something that carries alerts, in the form of its messages, to people."""

    @property
    def timeout(self) -> timedelta:
        """Longest time of one `send`."""

    async def send(self, message: Message_contra) -> Accepted:
        """Hand over one message, within a bounded time.

        Raises:
            AlertChannelError: It was not taken, or nobody knows whether it was.
        """
