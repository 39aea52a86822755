"""How an answer reaches the client, or fails to: whole, cut, late, or with the socket reset."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import orjson
from aiohttp import web
from pydantic import ValidationError

from simulator.entries import JsonValue
from simulator.faults import FaultKind, FaultSpec
from simulator.vendor import Answer

# A client that waits longer than this has given up; the socket need not be held for ever.
_HANG_S_DEFAULT: Final = 3600.0
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


def json(body: object, status: int = 200) -> web.Response:
    """An answer of the simulator's own API."""
    return web.Response(
        body=orjson.dumps(body), status=status, headers={"Content-Type": "application/json"}
    )


def invalid_json(error: ValidationError) -> web.Response:
    """A refusal of the simulator's own API, with what is wrong."""
    return json({"error": error.errors(include_url=False, include_context=False)}, 422)


def response(answer: Answer) -> web.Response:
    """The answer as it was meant to be."""
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def scripted(answer: Answer, body: JsonValue, headers: Mapping[str, str]) -> Answer:
    """The answer with what a fault says instead; a text is sent as it is."""
    if body is not None:
        answer = replace(
            answer, body=body.encode() if isinstance(body, str) else orjson.dumps(body)
        )
    replaced = {name.lower() for name in headers}
    kept = {name: value for name, value in answer.headers.items() if name.lower() not in replaced}
    return replace(answer, headers=kept | dict(headers))


async def deliver(
    answer: Answer, spec: FaultSpec | None, request: web.Request, stopping: asyncio.Event
) -> web.StreamResponse:
    """The answer as the fault, if any, lets it through."""
    if spec is None:
        return response(answer)
    if spec.kind in (FaultKind.HANG_BEFORE, FaultKind.HANG_AFTER):
        hang_s = _HANG_S_DEFAULT if spec.milliseconds is None else spec.milliseconds / 1000
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), hang_s)
        return _reset(request)
    if spec.kind in (FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER):
        return _reset(request)
    if spec.kind is FaultKind.TRUNCATE:
        return await _truncated(answer, request)
    return response(answer)


def _reset(request: web.Request) -> web.StreamResponse:
    """Close with RST, which a client sees as a connection reset rather than as an answer."""
    transport = request.transport
    if transport is not None:
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
    return web.Response()


async def _truncated(answer: Answer, request: web.Request) -> web.StreamResponse:
    """Promise the whole body, send half of it, and close."""
    cut = web.StreamResponse(status=answer.status, headers=answer.headers)
    cut.content_length = len(answer.body)
    await cut.prepare(request)
    await cut.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return cut
