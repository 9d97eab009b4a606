"""Guesty's token endpoint: one request, one answer."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

from outbox_worker.pms.guesty_token_answer import Minted, NotMinted, read
from outbox_worker.pms.http import PmsHttp
from outbox_worker.pms.port import PmsName


class Endpoint:
    """Where tokens are requested.

    Args:
        api_url: Guesty's address; the endpoint is ``/oauth2/token`` under it.
        client_id: Of the account's API client.
        client_secret: Its secret.
        timeout: Bounds a request.

    Raises:
        ValueError: The address cannot be used in HTTP.
    """

    def __init__(
        self, *, api_url: str, client_id: str, client_secret: str, timeout: timedelta
    ) -> None:
        self._http = PmsHttp(
            base_url=api_url,
            name=PmsName.GUESTY.display_name,
            headers={},
            timeout=timeout,
            connections=1,
        )
        self._form = urlencode(
            {
                "grant_type": "client_credentials",
                "scope": "open-api",
                "client_id": client_id,
                "client_secret": client_secret,
            }
        ).encode("ascii")

    async def request(self) -> Minted | NotMinted:
        """Request a token, once."""
        return read(
            await self._http.exchange(
                "POST",
                ("oauth2", "token"),
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=self._form,
            )
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
