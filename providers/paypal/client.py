"""Requests to PayPal: JSON, authenticated with an access token that is fetched once for all.

Fetching the token moves no money, so a failure there is `Retriable` for the call that
wanted it, whatever the phase it failed in. Client secret and token are known here only.
Source: developer.paypal.com/api/rest/authentication, .../api/rest/requests.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from payments.outcome import Retriable, Unknown
from providers.paypal.config import PayPalConfig
from providers.transport import (
    CONNECTIONS,
    Answer,
    Call,
    Endpoint,
    Exchange,
    Transport,
    of_broken,
    of_status,
    unreadable,
)

_TOKEN_PATH: Final = "/v1/oauth2/token"  # noqa: S105 - a path
_UNAUTHORIZED: Final = 401
_JSON: Final = {"Content-Type": "application/json"}
# A token is not used in its last minute: it must still be valid when PayPal reads the request.
_EXPIRY_MARGIN_S: Final = 60.0
# PayPal's live for 9 hours; one said to live longer is fetched anew all the same.
_LIFETIME_S_MAX: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A bearer token and the time from which it is not used any more."""

    text: str = field(repr=False)
    valid_until: datetime


class PayPalClient:
    """One merchant's API. Made inside a running event loop."""

    def __init__(
        self,
        config: PayPalConfig,
        connections: int = CONNECTIONS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._transport = Transport(Endpoint.of(config, connections))
        credentials = f"{config.client_id}:{config.client_secret.get_secret_value()}".encode()
        self._basic = f"Basic {base64.b64encode(credentials).decode()}"
        self._now = now
        self._token: AccessToken | None = None
        self._fetching = asyncio.Lock()
        self._fetches = 0
        self._last_refusal: Retriable | None = None

    async def post(
        self,
        path: str,
        body: Mapping[str, object] | None,
        *,
        request_id: str,
        traceparent: str | None = None,
    ) -> Exchange | Retriable:
        """Do something, once per request id; Retriable when no token could be had."""
        headers = _JSON | {"Prefer": "return=representation", "PayPal-Request-Id": request_id}
        content = None if body is None else json.dumps(body).encode()
        return await self._authorized("POST", path, _traced(headers, traceparent), content)

    async def ask(self, path: str, body: bytes) -> Exchange | Retriable:
        """Have something checked: a POST without an effect, of a body that must stay as it is."""
        return await self._authorized("POST", path, _JSON, body)

    async def get(self, path: str, *, traceparent: str | None = None) -> Exchange | Retriable:
        """Look something up."""
        return await self._authorized("GET", path, _traced({}, traceparent), None)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _authorized(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Exchange | Retriable:
        """The exchange; a token that PayPal no longer takes is replaced, once."""
        token = await self._access_token()
        if isinstance(token, Retriable):
            return token
        exchange = await self._send(method, path, {**headers, **_bearer(token)}, body)
        if not isinstance(exchange, Answer) or exchange.status != _UNAUTHORIZED:
            return exchange
        if self._token is token:
            self._token = None
        token = await self._access_token()
        if isinstance(token, Retriable):
            return token
        return await self._send(method, path, {**headers, **_bearer(token)}, body)

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Exchange:
        return await self._transport.exchange(
            Call(method=method, path=path, headers=headers, body=body)
        )

    async def _access_token(self) -> AccessToken | Retriable:
        """A valid token. Whoever waits while another fetches shares that fetch, failed or not."""
        if (token := self._valid_token()) is not None:
            return token
        fetches_seen = self._fetches
        async with self._fetching:
            if (token := self._valid_token()) is not None:
                return token
            if self._fetches != fetches_seen and self._last_refusal is not None:
                return self._last_refusal
            fetched = await self._fetch_token()
            self._fetches += 1
            if isinstance(fetched, AccessToken):
                self._token, self._last_refusal = fetched, None
            else:
                self._last_refusal = fetched
            return fetched

    def _valid_token(self) -> AccessToken | None:
        if self._token is not None and self._now() < self._token.valid_until:
            return self._token
        return None

    async def _fetch_token(self) -> AccessToken | Retriable:
        headers = {
            "Authorization": self._basic,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        body = b"grant_type=client_credentials"
        exchange = await self._send("POST", _TOKEN_PATH, headers, body)
        if not isinstance(exchange, Answer):
            return _without_effect(of_broken(exchange))
        try:
            granted = _Granted.model_validate_json(exchange.body)
        except ValidationError:
            return _without_effect(of_status(exchange) or unreadable(exchange))
        lifetime = timedelta(seconds=max(granted.expires_in - _EXPIRY_MARGIN_S, 0.0))
        return AccessToken(granted.access_token, self._now() + lifetime)


class _Granted(BaseModel):
    """The token endpoint's answer; a token is what may stand in a header, its lifetime sane."""

    model_config = ConfigDict(frozen=True)

    access_token: str = Field(pattern=r"^[\x21-\x7e]+$", max_length=8192)
    expires_in: float = Field(gt=0, le=_LIFETIME_S_MAX)


def _without_effect(outcome: Retriable | Unknown) -> Retriable:
    return Retriable(
        outcome.code,
        f"no access token: {outcome.message}",
        outcome.retry_after_s if isinstance(outcome, Retriable) else None,
        is_asked=False,
    )


def _bearer(token: AccessToken) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.text}"}


def _traced(headers: dict[str, str], traceparent: str | None) -> dict[str, str]:
    return headers if traceparent is None else {**headers, "traceparent": traceparent}
