"""What a route is: address, who may use it, what it takes and answers, in one declaration.

The router, the guards and the OpenAPI document are all made from these, so that they
cannot disagree. A route cannot be declared without saying who may use it. What its handler
is given stands above this file, which need not know it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Never, TypeAlias, TypeVar

from pydantic import BaseModel

from api.access.rate_limits import RateClass
from api.access.scopes import Everyone, Scope
from api.idempotency.key import KeyUse
from store.write.group_commit import Answer

CallT_contra = TypeVar("CallT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Success:
    """One way a route succeeds: the model of its body, or the media type of another one."""

    description: str
    model: type[BaseModel] | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[CallT_contra]):
    """One method at one address; `path` is a template (`/api/v1/payments/{id}`)."""

    method: str
    path: str
    handler: Callable[[CallT_contra], Awaitable[Answer]]
    scope: Scope | Everyone
    summary: str
    tag: str
    successes: Mapping[int, Success]
    body: type[BaseModel] | None = None
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
    # Takes `Last-Event-ID`, and goes on behind it.
    resumes: bool = False
    # Asked by machines every few seconds: no access line, no span.
    quiet: bool = False
    # Asked by who looks after this process: stands behind no clients.
    is_probe: bool = False
    # Serves people and machines, but is no operation of the API: left out of the document.
    documented: bool = True

    @property
    def rate_class(self) -> RateClass | None:
        """Which limit counts it; what needs no key is not limited."""
        if isinstance(self.scope, Everyone):
            return None
        return RateClass.READ if self.method == "GET" else RateClass.WRITE

    @property
    def body_optional(self) -> bool:
        """Whether an empty body stands for `{}`: where nothing in it is required."""
        fields = self.body.model_fields.values() if self.body else ()
        return not any(field.is_required() for field in fields)

    @property
    def operation_id(self) -> str:
        """Its name in the OpenAPI document: the handler's, which says what it does."""
        return self.handler.__name__


# Whatever its handler is given.
AnyRoute: TypeAlias = Route[Never]
