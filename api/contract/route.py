"""What a route is: address, who may use it, what it takes and answers, in one declaration.

The router, the guards and the OpenAPI document are all made from these, so that they
cannot disagree. A route cannot be declared without saying who may use it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from api.handling.call import Call
    from store.write.group_commit import Answer

Handler = Callable[["Call"], Awaitable["Answer"]]


class Scope(StrEnum):
    """What an API key may be good for."""

    PAYMENTS_WRITE = "payments:write"
    PAYMENTS_READ = "payments:read"
    REFUNDS_WRITE = "refunds:write"
    ACCOUNTS_WRITE = "accounts:write"
    OPS = "ops"


class Everyone(Enum):
    """Marks a route that asks for no key, so that this too is said out loud."""

    EVERYONE = "everyone"


class RateClass(StrEnum):
    """Which of a tenant's limits a request counts against."""

    READ = "read"
    WRITE = "write"


class KeyUse(Enum):
    """What a route makes of an Idempotency-Key."""

    REQUIRED = "required"
    ACCEPTED = "accepted"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Success:
    """One way a route succeeds: the model of its body, or the media type of another one."""

    description: str
    model: type[BaseModel] | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method at one address; `path` is a template (`/api/v1/payments/{id}`)."""

    method: str
    path: str
    handler: Handler
    scope: Scope | Everyone
    summary: str
    tag: str
    successes: Mapping[int, Success]
    body: type[BaseModel] | None = None
    # An empty body stands for `{}`, where nothing in the model is required.
    body_optional: bool = False
    query: type[BaseModel] | None = None
    key_use: KeyUse = KeyUse.IGNORED
    # Status codes of problems this route has beside those every route may have.
    refusals: tuple[int, ...] = ()
    # Its answer has the version of what it shows as ETag, and knows `If-None-Match`.
    versioned: bool = False
    # Takes `If-Match` with the version of the account it debits.
    takes_if_match: bool = False
    # Takes `Prefer: wait=N`.
    may_wait: bool = False
    # Asked by machines every few seconds: no access line, no span.
    quiet: bool = False
    # Serves people and machines, but is no operation of the API: left out of the document.
    documented: bool = True

    @property
    def rate_class(self) -> RateClass | None:
        """Which limit counts it; what needs no key is not limited."""
        if isinstance(self.scope, Everyone):
            return None
        return RateClass.READ if self.method == "GET" else RateClass.WRITE

    @property
    def operation_id(self) -> str:
        """Its name in the OpenAPI document: the handler's, which says what it does."""
        return self.handler.__name__
