"""Who asks: an API key `pk_<id>_<secret>`, or in open mode the one tenant there is.

A key is looked up by its id and its secret compared by SHA-256 in constant time. What was
looked up is believed for a few seconds, which is how long a revocation takes to be seen; that
there is no such key, for half a second.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from api.access.scopes import Scope
from api.http.problems import UNAUTHORIZED, Problem
from api.http.turns import NOBODY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from store.read.api_keys import ApiKey

ValueT = TypeVar("ValueT")

OPEN_TENANT: Final = "default"
# How long a revocation may take to be seen; half a minute would be too long for a stolen key.
BELIEVED_SECONDS: Final = 5.0
# Strangers try again at once, and whoever was just given a key does not.
UNKNOWN_SECONDS: Final = 0.5
# Keys in use at once, with ample room; beyond that those unused for longest are looked up anew.
_KNOWN_MAX: Final = 10_000

_BEARER: Final = re.compile(r"bearer +pk_([a-z0-9]{8,32})_([A-Za-z0-9_-]{16,128})", re.IGNORECASE)
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="payments"'}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, for which tenant, and what for it may."""

    tenant_id: str
    actor: str
    scopes: frozenset[str]
    # The key that was sent; None where none is needed.
    key_id: str | None = None


class Authenticator(Protocol):
    """Finds out who asks; where no key is asked for everyone is the same one."""

    asks_for_keys: bool

    def asker(self, authorization: str | None) -> str:
        """Whose turn a request takes: its tenant, as far as is known at once, or nobody's."""
        ...

    async def principal(self, authorization: str | None) -> Principal:
        """Who an `Authorization` header's value names. Raises Problem (401)."""
        ...

    async def holder(self, key_id: str) -> Principal:
        """Whose key that is, for who has shown it before. Raises Problem (401)."""
        ...


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A key that was just made: its id, what to store of it, and the text to hand out once."""

    key_id: str
    secret_sha256: bytes
    text: str


def new_secret() -> NewSecret:
    """A key with 256 bits nobody can guess."""
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return NewSecret(key_id, _sha256(secret), f"pk_{key_id}_{secret}")


class Open:
    """Everyone is the one tenant and may do everything: for a developer's own machine."""

    asks_for_keys = False

    def __init__(self) -> None:
        scopes = frozenset(scope.value for scope in Scope)
        self._principal = Principal(OPEN_TENANT, "open", scopes)

    def asker(self, authorization: str | None) -> str:  # noqa: ARG002 - the protocol's
        """The one tenant."""
        return OPEN_TENANT

    async def principal(self, authorization: str | None) -> Principal:  # noqa: ARG002 - likewise
        """The one tenant, whatever was sent."""
        return self._principal

    async def holder(self, key_id: str) -> Principal:  # noqa: ARG002 - likewise
        """The same."""
        return self._principal


@dataclass(frozen=True, slots=True)
class _Known:
    key: ApiKey
    principal: Principal
    until: float


class ApiKeys:
    """Keys as they are stored; `now` is the wall clock, `monotonic` the other.

    `find` reads one, once for all who ask for it meanwhile.
    """

    asks_for_keys = True

    def __init__(
        self,
        find: Callable[[str], Awaitable[ApiKey | None]],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._find = find
        self._now = now
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()

    def asker(self, authorization: str | None) -> str:
        """The tenant of a valid key that was looked up before; all others' turn is nobody's."""
        sent = _BEARER.fullmatch(authorization or "")
        known = self._known.get(sent[1]) if sent else None
        if not (sent and known and known.key.is_valid_at(self._now())):
            return NOBODY
        is_its_secret = hmac.compare_digest(known.key.secret_sha256, _sha256(sent[2]))
        return known.principal.tenant_id if is_its_secret else NOBODY

    async def principal(self, authorization: str | None) -> Principal:
        """Whose key this is. Raises Problem (401), which does not say what was wrong with it."""
        if authorization is None:
            raise Problem(UNAUTHORIZED, "no API key was sent", headers=_CHALLENGE)
        sent = _BEARER.fullmatch(authorization)
        if sent is None:
            raise _refused()
        known = await self._valid(sent[1])
        if not hmac.compare_digest(known.key.secret_sha256, _sha256(sent[2])):
            raise _refused()
        return known.principal

    async def holder(self, key_id: str) -> Principal:
        """Whose key this is, as long as it is valid. Raises Problem (401)."""
        return (await self._valid(key_id)).principal

    async def _valid(self, key_id: str) -> _Known:
        known = self._believed(key_id) or await self._looked_up(key_id)
        if known is None or not known.key.is_valid_at(self._now()):
            raise _refused()
        return known

    def _believed(self, key_id: str) -> _Known | None:
        known = self._known.get(key_id)
        return known if known is not None and known.until >= self._monotonic() else None

    async def _looked_up(self, key_id: str) -> _Known | None:
        if self._unknown.get(key_id, -inf) >= self._monotonic():
            return None
        key = await self._find(key_id)
        if key is None:
            _remember(self._unknown, key_id, self._monotonic() + UNKNOWN_SECONDS)
            self._known.pop(key_id, None)
            return None
        known = _Known(key, _principal_of(key), self._monotonic() + BELIEVED_SECONDS)
        _remember(self._known, key_id, known)
        return known


def _remember(table: OrderedDict[str, ValueT], key_id: str, value: ValueT) -> None:
    table[key_id] = value
    table.move_to_end(key_id)
    if len(table) > _KNOWN_MAX:
        table.popitem(last=False)


def _principal_of(key: ApiKey) -> Principal:
    return Principal(key.tenant_id, f"{key.name} ({key.id})", key.scopes, key.id)


def _sha256(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _refused() -> Problem:
    headers = {"WWW-Authenticate": 'Bearer realm="payments", error="invalid_token"'}
    return Problem(UNAUTHORIZED, "the API key is not valid", headers=headers)
