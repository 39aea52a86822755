"""Tokens for OAUTHBEARER from an issuer, which is asked in our own name.

One token serves all connections of a client until shortly before it runs out.
Source: RFC 6749, sections 2.3.1, 4.4 and 5 (client credentials).
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import aiohttp
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

if TYPE_CHECKING:
    from process.addresses import SaslClient

_ANSWER_WITHIN: Final = aiohttp.ClientTimeout(total=10)
# As Kafka's own client has it: before it runs out on the way, and not for each connection anew.
_RENEWED_AT: Final = 0.8
# What RFC 6749 leaves to the issuer, where it does not say.
_LIFETIME_S: Final = 300.0
# A refusal that asking again would not change; the rest is an issuer that is not well.
_REFUSALS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
)
_ANSWER_BYTES_MAX: Final = 65_536


class TokenEndpoint(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka is untyped
    """Asks for a token when one is needed."""

    def __init__(self, client: SaslClient) -> None:
        self._client = client
        self._token = ""
        self._renewed_at = 0.0
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """Raises SaslAuthenticationFailed if we are refused, KafkaConnectionError otherwise."""
        async with self._asking:
            if time.monotonic() >= self._renewed_at:
                asked_at = time.monotonic()
                self._token, lifetime_s = await self._issued()
                self._renewed_at = asked_at + lifetime_s * _RENEWED_AT
            return self._token

    async def _issued(self) -> tuple[str, float]:
        """A token, and for how long it is one; seconds."""
        known = self._client
        form = {"grant_type": "client_credentials"} | (
            {"scope": known.scope} if known.scope else {}
        )
        # Encoded first, as 2.3.1 has it.
        who = aiohttp.encode_basic_auth(quote(known.id, safe=""), quote(known.secret, safe=""))
        headers = {"Authorization": who}
        try:
            connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=known.authority))
            async with (
                aiohttp.ClientSession(connector=connector, timeout=_ANSWER_WITHIN) as session,
                session.post(
                    known.url, data=form, headers=headers, allow_redirects=False, proxy=known.proxy
                ) as answer,
            ):
                body = await answer.content.read(_ANSWER_BYTES_MAX)
        except (aiohttp.ClientError, OSError) as error:  # a timeout is one
            raise KafkaConnectionError(f"{known.url} issues no token: {error!r}") from error
        return _read(known.url, answer.status, body)


def _read(url: str, status: int, body: bytes) -> tuple[str, float]:
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    fields = said if isinstance(said, dict) else {}
    if status in _REFUSALS:
        raise SaslAuthenticationFailed(f"{url} issues no token: {status} {fields.get('error', '')}")
    token, lifetime_s = fields.get("access_token"), fields.get("expires_in", _LIFETIME_S)
    if status != HTTPStatus.OK or not isinstance(token, str):
        raise KafkaConnectionError(f"{url} issues no token: it answers {status}")
    return token, float(lifetime_s)
