"""(email, <alert id>): alerts by mail, hundreds of bookings in one."""

from __future__ import annotations

from functools import partial

from outbox_worker.alerts import render
from outbox_worker.alerts.alert import PAGE
from outbox_worker.alerts.port import AlertChannel, AlertMessage
from outbox_worker.handlers.alert import AlertHandler, Telling
from outbox_worker.outbox.delivery import Destination
from outbox_worker.outbox.retry import RetryPolicy
from outbox_worker.pms.port import PmsName


class EmailHandler(AlertHandler[AlertMessage]):
    """Mails alerts.

    Args:
        channel: Where mail is handed in; None: there is none, or nobody to write to.
        policy: Without a limit of attempts.
        currency: Of every booking's total, ISO 4217.
        pms: Whom bookings go to, for the words.
        alone: Whether there is no chat either.
    """

    def __init__(
        self,
        channel: AlertChannel[AlertMessage] | None,
        *,
        policy: RetryPolicy,
        currency: str,
        pms: PmsName,
        alone: bool = True,
    ) -> None:
        telling = Telling(
            destination=Destination.EMAIL,
            channel=channel,
            compose=partial(render.message, currency=currency, pms=pms),
            page=PAGE,
            alone=alone,
        )
        super().__init__(telling, policy=policy)
