"""An alert as a MIME mail, for channels that speak SMTP. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from outbox_worker.alerts.port import AlertMessage

SENDER_NAME = "Booking outbox"

#: Refuses line breaks in headers. Seven bits, so that every server takes it; headers long enough
#: for a subject of 80 characters, which the usual 78 would fold right at its beginning.
_POLICY = SMTP.clone(cte_type="7bit", max_line_length=200)


def mail(message: AlertMessage, *, sender: str, recipients: Sequence[str]) -> EmailMessage:
    """Plain text first, HTML beside it.

    Args:
        message: What to tell.
        sender: Bare address.
        recipients: Bare addresses; all of them see each other.
    """
    made = EmailMessage(policy=_POLICY)
    made["From"] = Address(SENDER_NAME, addr_spec=sender)
    made["To"] = [Address(addr_spec=recipient) for recipient in recipients]
    made["Subject"] = message.subject
    made["Date"] = message.written_at
    for name, value in message.headers.items():
        made[name] = value
    made.set_content(message.text)
    made.add_alternative(message.html, subtype="html")
    return made
