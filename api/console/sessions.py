"""A browser and its session: one cookie that only this server reads, and what forms must show.

The cookie's text is a secret nobody can guess. What is kept of it is its digest; what a form bears
is derived from it, so that no other site can send one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from api.http.turns import NOBODY

if TYPE_CHECKING:
    from aiohttp import web

COOKIE: Final = "payments_console"
PATH: Final = "/console"
# A working day: whoever comes back tomorrow shows the key again.
LIFETIME: Final = timedelta(hours=12)

_KNOWN_MAX: Final = 1000
_TOKEN_BYTES: Final = 32
_TOKEN_LENGTH: Final = 43
_FORMS: Final = b"forms of the console"


@dataclass(frozen=True, slots=True)
class Browser:
    """What tells one browser from all others; `is_new` until it has sent its cookie back."""

    token: str
    is_secure: bool
    is_new: bool = False

    @classmethod
    def of(cls, request: web.Request) -> Self:
        """The browser that sent the request, or a new one.

        Whoever says without reason that they came by TLS, is sent a cookie of no use over HTTP.
        """
        told = request.headers.get("X-Forwarded-Proto", "")
        is_secure = request.secure or told == "https"
        token = request.cookies.get(COOKIE, "")
        if len(token) == _TOKEN_LENGTH and token.isascii():
            return cls(token, is_secure)
        return cls.new(is_secure=is_secure)

    @classmethod
    def new(cls, *, is_secure: bool) -> Self:
        """One nobody has seen yet."""
        return cls(secrets.token_urlsafe(_TOKEN_BYTES), is_secure, is_new=True)

    @property
    def digest(self) -> bytes:
        """What is kept of the cookie."""
        return hashlib.sha256(self.token.encode()).digest()

    @property
    def form_token(self) -> str:
        """What each form of this browser bears."""
        return hmac.digest(self.token.encode(), _FORMS, "sha256").hex()

    def sent(self, form_token: str) -> bool:
        """Whether a form is one of this browser's."""
        return hmac.compare_digest(self.form_token.encode(), form_token.encode())

    @property
    def cookie(self) -> str:
        """The value of `Set-Cookie`: for this server alone, from its own pages alone."""
        seconds = int(LIFETIME.total_seconds())
        secure = "; Secure" if self.is_secure else ""
        return (
            f"{COOKIE}={self.token}; Path={PATH}; Max-Age={seconds}; "
            f"HttpOnly; SameSite=Strict{secure}"
        )


class KnownBrowsers:
    """Which browsers were signed in lately: who looks at a flood does not stand in it."""

    def __init__(self, browsers_max: int = _KNOWN_MAX) -> None:
        self._browsers_max = browsers_max
        # The tenant of each, by its digest; who came first is forgotten first.
        self._tenants: dict[bytes, str] = {}

    def asker(self, browser: Browser) -> str:
        """Whose turn its request takes: that of its tenant's operators, or nobody's."""
        tenant_id = None if browser.is_new else self._tenants.get(browser.digest)
        return NOBODY if tenant_id is None else f"{tenant_id}{PATH}"

    def is_in(self, browser: Browser, tenant_id: str) -> None:
        """It is signed in."""
        self._tenants[browser.digest] = tenant_id
        if len(self._tenants) > self._browsers_max:
            del self._tenants[next(iter(self._tenants))]

    def is_out(self, browser: Browser) -> None:
        """It is not, any more or yet."""
        self._tenants.pop(browser.digest, None)


FORGET: Final = f"{COOKIE}=; Path={PATH}; Max-Age=0; HttpOnly; SameSite=Strict"
