"""One request on its way through a handler: who asks, what was sent, what is within reach."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from api.access.rate_limits import Subject
from api.access.scopes import Everyone, Scope
from api.contract.requests.fields import parse_uuid
from api.contract.requests.reading import (
    ModelT,
    parse_body,
    read_body,
    read_query,
    refuse_parameters,
)
from api.http.problems import (
    INSUFFICIENT_SCOPE,
    REQUEST_TIMEOUT,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
    ProblemKind,
    overloaded,
)
from api.http.strict_json import written
from api.http.turns import NOBODY
from api.idempotency.key import HEADER, key_of
from process.clients import customer_of
from store.read.audit_log import Signature, Via
from store.write.group_commit import Overloaded

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from aiohttp import web
    from asyncpg.pool import PoolConnectionProxy

    from api.access.authentication import Principal
    from api.contract.route import Route
    from api.handling.dependencies import Dependencies
    from api.http.problems import Asked


class Call:
    """What a handler gets. Its methods raise Problem for what the client did wrong."""

    __slots__ = (
        "asked",
        "body_value",
        "deps",
        "headers",
        "idempotency_key",
        "principal",
        "request",
        "route",
    )

    def __init__(
        self, request: web.Request, asked: Asked, route: Route[Call], deps: Dependencies
    ) -> None:
        self.request = request
        self.asked = asked
        self.route = route
        self.deps = deps
        self.principal: Principal | None = None
        # Of this answer alone: they are not stored with it.
        self.headers: dict[str, str] = {}
        self.idempotency_key: str | None = None
        # The body as it was parsed; `{}` where none was sent.
        self.body_value: object = {}

    async def admit(self) -> None:
        """Let the request in, or raise Problem: 401, 403, 429, or 400 for its key."""
        if isinstance(self.route.scope, Everyone):
            return
        if self.deps.rate_limiter.limits("address"):
            client = customer_of(self.deps.proxies.client_of(self.request))
            await self._count(Subject("address", "", client))
        self.principal = await self._authenticated()
        if self.route.scope.value not in self.principal.scopes:
            raise _out_of_scope(self.route.scope)
        assert self.route.rate_class is not None, "what needs a key is limited"
        await self._count(Subject(self.route.rate_class.value, self.principal.tenant_id))
        await self._read_head()

    async def _authenticated(self) -> Principal:
        sent = self.request.headers.get("Authorization")
        return await self.deps.authenticator.principal(sent)

    async def _read_head(self) -> None:
        self.idempotency_key = key_of(self.request.headers.getall(HEADER, ()), self.route.key_use)
        if self.route.method != "GET" and self.request.rel_url.raw_query_string:
            refuse_parameters(self._parameters())

    @property
    def signature(self) -> Signature | None:
        """Who asks for what, for the audit log; None of what is no operator's doing."""
        return self.signed(Via.API) if self.route.scope is Scope.OPS else None

    def signed(self, via: Via, reason: str | None = None) -> Signature:
        """The signature under what is asked for; the reason is the body's, if it has one."""
        said = self.body_value if isinstance(self.body_value, dict) else {}
        return Signature(
            tenant_id=self.tenant_id,
            actor=self.asker.actor,
            via=via,
            action=self.route.operation_id,
            target=self.canonical_path,
            reason=reason or said.get("reason"),
            asked=written(self.body_value),
            request_id=self.asked.request_id,
        )

    @property
    def asker(self) -> Principal:
        """Who asks; only for routes that need a key."""
        assert self.principal is not None, f"{self.route.path} is for everyone"
        return self.principal

    @property
    def tenant_id(self) -> str:
        """The tenant of whoever asks."""
        return self.asker.tenant_id

    @property
    def canonical_path(self) -> str:
        """Its address as we write it, however the client did: an id in capitals is the same id."""
        path = self.route.path
        for name, text in self.request.match_info.items():
            path = path.replace(f"{{{name}}}", str(parse_uuid(text) or text))
        return path

    def path_id(self, kind: ProblemKind, name: str = "id") -> UUID:
        """An id of the path; what is no id names nothing, so it is not found."""
        text = self.request.match_info[name]
        found = parse_uuid(text)
        if found is None:
            raise Problem(kind, f"{text[:100]!r} is no id")
        return found

    def query(self, model: type[ModelT]) -> ModelT:
        """The parameters of the query string."""
        return read_query(model, self._parameters(), self.deps.providers)

    async def body(self, model: type[ModelT]) -> ModelT:
        """The body, read whole and checked; of who comes to a full queue not even that."""
        try:
            self.deps.committer.admit(self.tenant_id)
        except Overloaded as error:
            raise overloaded(error.retry_after_s) from None
        sent = await self._sent()
        if sent or not self.route.body_optional:
            self._require_json()
            self.body_value = parse_body(sent)
        return read_body(model, self.body_value, self.deps.providers)

    async def limit_account(self, account_id: UUID) -> None:
        """Count this payment against its source account's limit. Raises Problem (429)."""
        await self._count(Subject("account", self.tenant_id, str(account_id)))

    def database(self) -> AbstractAsyncContextManager[PoolConnectionProxy]:
        """A connection to read with; raises Problem (503) when Postgres is away."""
        return self.deps.reads.of(self.principal.tenant_id if self.principal else NOBODY)

    async def _count(self, subject: Subject) -> None:
        for name, value in (await self.deps.rate_limiter.pass_or_refuse(subject)).items():
            others = self.headers.get(name)
            self.headers[name] = f"{others}, {value}" if others else value

    def _parameters(self) -> list[tuple[str, str]]:
        raw = self.request.rel_url.raw_query_string
        # aiohttp's own reading turns what is not UTF-8 into U+FFFD; this one keeps it refusable.
        return parse_qsl(raw, keep_blank_values=True, errors="surrogateescape")

    async def _sent(self) -> bytes:
        request = self.request
        if request.content.is_eof():  # it came with the headers, as most do
            return await request.read()
        try:
            async with asyncio.timeout(self.deps.read_timeout_seconds):
                return await request.read()
        except TimeoutError:
            seconds = f"{self.deps.read_timeout_seconds:g}"
            raise Problem(REQUEST_TIMEOUT, f"the body took longer than {seconds} s") from None

    def _require_json(self) -> None:
        sent = self.request.headers.get("Content-Type", "")
        if sent == "application/json" and "Content-Encoding" not in self.request.headers:
            return
        if self.request.headers.get("Content-Encoding", "identity") != "identity":
            raise Problem(UNSUPPORTED_MEDIA_TYPE, "send the body without Content-Encoding")
        if self.request.content_type != "application/json" or not sent:
            raise Problem(
                UNSUPPORTED_MEDIA_TYPE, "send the body with Content-Type: application/json"
            )
        if (self.request.charset or "utf-8").lower() not in {"utf-8", "utf8"}:
            raise Problem(UNSUPPORTED_MEDIA_TYPE, "send the body in UTF-8")


def _out_of_scope(scope: Scope) -> Problem:
    challenge = f'Bearer realm="payments", error="insufficient_scope", scope="{scope.value}"'
    return Problem(
        INSUFFICIENT_SCOPE,
        f"the API key does not have the scope {scope.value}",
        headers={"WWW-Authenticate": challenge},
    )
