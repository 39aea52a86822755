"""Streams: how each stage, relay and group stands and how far behind it is; relays paused."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.console import charts
from api.console.actions import Action
from api.console.page import page
from api.contract.responses.answers import JSON
from api.http.problems import NOT_FOUND, Problem
from api.routes.streams import get_streams
from payments.ids import uuid7
from store.read.audit_log import DONE, PLATFORM, AuditEntry
from store.read.relays import relays
from store.write.group_commit import Answer
from store.write.operators import RelayCommand, RelayOrder, ask_relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from api.console.visit import Shown, Visit

_ENTROPY_BITS: Final = 62


async def show_streams(visit: Visit) -> Answer:
    report = await visit.ask(get_streams)
    async with visit.database() as connection:
        sinks = await relays(connection)
    slots = {each["slot"]: each for each in report["slots"]}
    trail = {name: charts.lines([figures]) for name, figures in visit.deps.trail().items()}
    return visit.page("streams.html", report=report, sinks=sinks, slots=slots, trail=trail)


async def pause_relay(visit: Visit) -> Answer:
    return await _asked(visit, RelayCommand.PAUSE)


async def resume_relay(visit: Visit) -> Answer:
    return await _asked(visit, RelayCommand.RESUME)


async def _asked(visit: Visit, command: RelayCommand) -> Answer:
    sink = visit.request.match_info["sink"]
    # A relay is no tenant's: whoever operates the platform is to know.
    entry = AuditEntry(
        id=uuid7(time.time_ns(), secrets.randbits(_ENTROPY_BITS)),
        signature=replace(visit.signature, tenant_id=PLATFORM),
        outcome=DONE,
        recorded_at=visit.deps.now(),
    )
    order = RelayOrder(sink=sink, command=command)
    async with visit.database() as connection:
        number = await ask_relay(connection, order, entry)
    if number is None:
        raise _no_sink(sink)
    return Answer(200, JSON, b"{}")


async def _relay_of(visit: Visit) -> Shown:
    sink = visit.request.match_info["sink"]
    async with visit.database() as connection:
        found = [dict(row) for row in await relays(connection) if row["sink"] == sink]
    if not found:
        raise _no_sink(sink)
    return found[0]


def _no_sink(sink: str) -> Problem:
    return Problem(NOT_FOUND, f"there is no sink {sink[:100]!r}")


def _action(handler: Callable[[Visit], Awaitable[Answer]], title: str, word: str) -> Action:
    path = f"/console/streams/relays/{{sink}}/{word}"
    return Action(
        of=page(path, handler, Scope.OPS, title, method="POST"),
        title=title,
        template="about_relay.html",
        subject=_relay_of,
        back="/console/streams",
        path=path,
    )


ACTIONS: Final = (
    _action(pause_relay, "Pause relay", "pause"),
    _action(resume_relay, "Resume relay", "resume"),
)

PAGES: Final = (
    page("/console/streams", show_streams, Scope.OPS, "How far behind everything is.", quiet=True),
    *(route for action in ACTIONS for route in action.routes()),
)
