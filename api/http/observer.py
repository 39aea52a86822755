"""The outermost layer: every request gets an id, a span, a log line and figures, and one answer.

Whatever goes wrong below becomes a problem here, so that nothing but problems and
successes leaves this process, and no client ever reads an exception's text.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Final

import structlog
from aiohttp import web
from opentelemetry.trace import SpanKind, Status, StatusCode, use_span

from api.http import problems
from api.http.problems import Asked, Problem
from api.http.streaming import StreamBody, Streamed
from api.http.turns import NOBODY, Crowded, Turns
from store.write.group_commit import Overloaded
from telemetry.tracing import Trace, current_traceparent, remote_parent

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from api.http.turns import Place
    from process.clients import Proxies
    from store.write.group_commit import Answer
    from telemetry.metrics import Metrics

log = structlog.get_logger()

RequestWork = Callable[[Asked, dict[str, str]], Awaitable["Answer"]]
Refusal = Callable[[Problem, Asked], "Answer"]
Turn = Callable[[web.Request], Awaitable["Place"]]

# What others may have called the request: anything a log line or a header can carry safely.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
# Clients may invent methods, and each would be another series.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER: Final = "other"
# No request of ours is a tenth as long, metadata at its limit included.
BODY_BYTES_MAX: Final = 65_536
UNMATCHED: Final = "unmatched"
_CLASSES: Final = {n: f"{n}xx" for n in range(1, 6)}
_SERVER_ERROR: Final = 500
_REJECTED: Final = {
    problems.OVERLOADED: "overload",
    problems.RATE_LIMITED: "rate_limit",
    problems.BODY_TOO_LARGE: "too_large",
    problems.UNAUTHORIZED: "unauthorized",
}
_EVERY_ANSWER: Final = {
    "Server": "payments",
    "X-Content-Type-Options": "nosniff",
    # Balances and payments are nobody's to keep.
    "Cache-Control": "no-store",
}


class Observer:
    """Runs the work of a request and makes its response."""

    def __init__(
        self,
        metrics: Metrics,
        tracer: Tracer,
        new_request_id: Callable[[], str],
        proxies: Proxies,
        asker_of: Callable[[str | None], str],
    ) -> None:
        self.turns = Turns()
        self._asker_of = asker_of
        self._http = metrics.http
        self._http.begin()
        self._http.waiting.set_function(lambda: len(self.turns))
        self.certificate_refused = metrics.certificate_refused
        self._client_of = proxies.client_of
        self._tracer = tracer
        self._new_request_id = new_request_id

    async def respond(
        self,
        request: web.Request,
        template: str,
        work: RequestWork,
        *,
        quiet: bool = False,
        refused: Refusal = problems.answer,
        turn: Turn | None = None,
    ) -> web.Response:
        """The response to a request whose route is `template`; `quiet` leaves no line or span.

        What goes wrong is answered as `refused` has it. It begins when it is its `turn`, which is
        its key's if nothing else is said.
        """
        started = perf_counter()
        try:
            place = await (turn or self.turn)(request)
        except (Crowded, Overloaded) as error:
            return self._refuse(request, template, error.retry_after_s, refused)
        asked = Asked(request.rel_url.raw_path, self._request_id(request))
        structlog.contextvars.bind_contextvars(request_id=asked.request_id)
        headers = {**_EVERY_ANSWER, "X-Request-ID": asked.request_id}
        span = self._span(request, template)
        self._http.in_flight.inc()
        try:
            with use_span(span, end_on_exit=True, record_exception=False):
                headers["traceparent"] = current_traceparent() or ""
                answer = await self._answer(asked, headers, work, refused)
                span.set_attribute("http.response.status_code", answer.status)
                if answer.status >= _SERVER_ERROR:
                    span.set_status(Status(StatusCode.ERROR))
                seconds = perf_counter() - started
                self._count(request.method, template, answer.status, seconds)
                if not quiet:
                    self._log(request, template, answer.status, seconds)
        finally:
            self._http.in_flight.dec()
            self.turns.give_back(place)
        sent = {**headers, **answer.headers}
        if isinstance(answer, Streamed):
            response = web.Response(body=StreamBody(answer), status=answer.status, headers=sent)
            response.force_close()
            return response
        return web.Response(body=answer.body, status=answer.status, headers=sent)

    def _refuse(
        self, request: web.Request, template: str, retry_after_s: float, refused: Refusal
    ) -> web.Response:
        """The response to whose turn, or commit, would come too late.

        It is counted, but leaves no line, which would cost as much as a third of all the rest: the
        more are refused, the less there is for those who are not. Nor does it say how fast we are.
        """
        asked = Asked(request.rel_url.raw_path, self._request_id(request))
        answer = refused(problems.overloaded(retry_after_s), asked)
        self._http.rejected.labels(_REJECTED[problems.OVERLOADED]).inc()
        self._count_request(request.method, template, answer.status)
        span = self._span(request, template)
        with use_span(span, end_on_exit=True):
            span.set_attribute("http.response.status_code", answer.status)
            span.set_status(Status(StatusCode.ERROR))
            trace = {"X-Request-ID": asked.request_id, "traceparent": current_traceparent() or ""}
        return web.Response(
            body=answer.body,
            status=answer.status,
            headers={**_EVERY_ANSWER, **trace, **answer.headers},
        )

    def refuse_connection(self, error: BaseException | None) -> web.Response:
        """The response to what is no HTTP request, and so has neither route nor headers."""
        asked = Asked("/", self._new_request_id())
        structlog.contextvars.bind_contextvars(request_id=asked.request_id)
        span = self._tracer.start_span("unreadable request", kind=SpanKind.SERVER)
        with use_span(span, end_on_exit=True):
            trace = {"X-Request-ID": asked.request_id, "traceparent": current_traceparent() or ""}
            log.info("unreadable request", reason=type(error).__name__)
        problem = Problem(problems.MALFORMED_HTTP, "these bytes are not an HTTP request")
        answer = problems.answer(problem, asked)
        self._count(_OTHER, UNMATCHED, answer.status, 0.0)
        return web.Response(
            body=answer.body,
            status=answer.status,
            headers={**_EVERY_ANSWER, **trace, **answer.headers},
        )

    async def turn(
        self,
        request: web.Request,
        asker: str | None = None,
        admit: Callable[[str], None] | None = None,
    ) -> Place:
        """A place, once it is the turn of `asker`, or of its key; nobody makes room for strangers.

        Raises Crowded; and what `admit` raises for a tenant that has enough waiting already.
        """
        if asker is None:
            asker = self._asker_of(request.headers.get("Authorization"))
        if admit is not None and asker != NOBODY:
            admit(asker)
        return await self.turns.take(asker, is_heard=asker != NOBODY)

    async def _answer(
        self, asked: Asked, headers: dict[str, str], work: RequestWork, refused: Refusal
    ) -> Answer:
        try:
            return await work(asked, headers)
        except Problem as each:
            problem = each
        except web.HTTPException as error:
            problem = _from_http(error)
        except web.RequestPayloadError:
            problem = Problem(problems.MALFORMED_HTTP, "the body ended early or was not readable")
        except Exception:
            log.exception("request failed")
            problem = Problem(
                problems.INTERNAL, "something went wrong here; the request_id tells us what"
            )
        if reason := _REJECTED.get(problem.kind):
            self._http.rejected.labels(reason).inc()
        return refused(problem, asked)

    def _request_id(self, request: web.Request) -> str:
        sent = request.headers.get("X-Request-ID")
        if sent is not None and _REQUEST_ID.fullmatch(sent):
            return sent
        return self._new_request_id()

    def no_room(self) -> None:
        """A connection was cut off at once: as many as may be are open, and all of them busy."""
        self._http.rejected.labels("connections").inc()

    def _span(self, request: web.Request, template: str) -> Span:
        return self._tracer.start_span(
            f"{request.method} {template}",
            context=remote_parent(_trace_of(request)),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": request.method, "http.route": template},
        )

    def _count(self, sent: str, template: str, status: int, seconds: float) -> None:
        method = self._count_request(sent, template, status)
        self._http.duration.labels(template, method).observe(seconds)

    def _count_request(self, sent: str, template: str, status: int) -> str:
        """Under which method it was counted."""
        method = sent if sent in _METHODS else _OTHER
        self._http.requests.labels(template, method, _CLASSES[status // 100]).inc()
        return method

    def _log(self, request: web.Request, template: str, status: int, seconds: float) -> None:
        log.info(
            "request",
            method=request.method,
            route=template,
            status=status,
            duration_ms=round(seconds * 1000, 3),
            client=self._client_of(request),
        )


OBSERVER: Final = web.AppKey("observer", Observer)


def _from_http(error: web.HTTPException) -> Problem:
    """What aiohttp refuses by itself, as a problem."""
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            detail = f"{error.method[:20]} is not taken here; {allowed} is"
            return Problem(problems.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed})
        case web.HTTPNotFound():
            return Problem(problems.NOT_FOUND, "no resource has this address; see /docs")
        case web.HTTPRequestEntityTooLarge():
            return Problem(problems.BODY_TOO_LARGE, f"it has more than {BODY_BYTES_MAX} bytes")
        case _:
            return Problem(problems.MALFORMED_HTTP, error.reason or "the request is not acceptable")


def _trace_of(request: web.Request) -> Trace | None:
    """The trace a request names; its state may come in several lines, which belong together."""
    state = ",".join(request.headers.getall("tracestate", ()))
    return Trace.of(request.headers.get("traceparent"), state or None)
