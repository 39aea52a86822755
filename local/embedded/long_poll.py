"""Stands before noida-db and makes a consumer's Fetch wait for data, as Kafka does.

noida-db answers a Fetch at once, however long the client was ready to wait, so that each idle
consumer asks thousands of times a second and burns most of a core. Here an empty answer is held
until something is produced or the client's own limit has passed; everything else goes through as
it is. Requests of one connection are answered one after the other, as Kafka answers them.
The wire formats are those of https://kafka.apache.org/protocol, capped to versions without
flexible fields and without fetch sessions.
"""

import argparse
import asyncio
import struct
from dataclasses import dataclass
from functools import partial
from typing import Final

import uvloop

from process.lifecycle import leave, told_to_stop

_PRODUCE, _FETCH, _METADATA, _FIND_COORDINATOR, _API_VERSIONS, _END_TXN = 0, 1, 3, 10, 18, 26
# The newest versions this module reads: Fetch before sessions, the others before flexible fields.
_NEWEST: Final = {_FETCH: 4, _METADATA: 8, _FIND_COORDINATOR: 2}
# Produce got a transactional id, Metadata a throttle time, ApiVersions tags, all in version 3.
_RESHAPED: Final = 3
# What becomes visible to consumers after one of these is worth another look.
_ARRIVALS: Final = frozenset({_PRODUCE, _END_TXN})
_FRAME_BYTES_MAX: Final = 128 * 1024 * 1024  # Kafka's own socket.request.max.bytes is 100 MiB
_READ_AHEAD_BYTES: Final = 1024 * 1024  # a large batch in few reads


@dataclass(frozen=True, slots=True)
class Request:
    """A request's frame without its length, and the two numbers that say how to read it."""

    frame: bytes
    api_key: int
    version: int

    @classmethod
    def of(cls, frame: bytes) -> "Request":
        api_key, version = struct.unpack_from(">hh", frame)
        return cls(frame, api_key, version)

    def body(self) -> "_Cursor":
        """After api key, version, correlation id and client id."""
        cursor = _Cursor(self.frame, 8)
        cursor.skip_string()
        return cursor


class Front:
    """All connections to one broker: what one produces may end another's wait."""

    def __init__(self, *, broker_port: int, port: int) -> None:
        self._broker_port = broker_port
        self._port = port
        self._arrival = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, until either side closes it."""
        broker_writer: asyncio.StreamWriter | None = None
        try:
            broker_reader, broker_writer = await asyncio.open_connection(
                "127.0.0.1", self._broker_port
            )
            connection = _Connection(broker_reader, broker_writer)
            while True:
                request = Request.of(await read_frame(reader))
                answer = await self._answer(connection, request)
                if answer is not None:
                    write_frame(writer, answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            for each in (writer, broker_writer):
                if each is not None:
                    each.close()

    async def _answer(self, connection: "_Connection", request: Request) -> bytes | None:
        if is_unanswered(request):
            connection.send(request)
            self._announce()
            return None
        if request.api_key == _FETCH and request.version == _NEWEST[_FETCH]:
            return await self._fetch(connection, request)
        answer = await connection.ask(request)
        if request.api_key in _ARRIVALS:
            self._announce()
        return rewritten(request, answer, self._port)

    async def _fetch(self, connection: "_Connection", request: Request) -> bytes:
        """Ask again after each arrival, until there is something or the client's time is up."""
        body = request.body()
        _replica, max_wait_ms, bytes_min = body.int32(), body.int32(), body.int32()
        clock = asyncio.get_running_loop().time
        deadline = clock() + (max_wait_ms / 1000 if bytes_min > 0 else 0)
        while True:
            arrival = self._arrival
            answer = await connection.ask(request)
            if not is_empty(answer) or clock() >= deadline:
                return answer
            try:
                async with asyncio.timeout_at(deadline):
                    await arrival.wait()
            except TimeoutError:
                return answer

    def _announce(self) -> None:
        self._arrival.set()
        self._arrival = asyncio.Event()


class _Connection:
    """The broker's side of one client's connection: one question at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, request: Request) -> None:
        write_frame(self._writer, request.frame)

    async def ask(self, request: Request) -> bytes:
        self.send(request)
        await self._writer.drain()
        return await read_frame(self._reader)


def is_unanswered(request: Request) -> bool:
    """A Produce with acks=0 gets no answer at all."""
    if request.api_key != _PRODUCE:
        return False
    body = request.body()
    if request.version >= _RESHAPED:
        body.skip_string()
    return body.int16() == 0


def is_empty(answer: bytes) -> bool:
    """Whether a Fetch answer (version 4) has neither records nor errors."""
    cursor = _Cursor(answer, 8)  # correlation id, throttle time
    for _ in range(cursor.int32()):
        cursor.skip_string()
        for _ in range(cursor.int32()):
            cursor.skip(4)
            if cursor.int16() != 0:
                return False
            cursor.skip(16)  # high watermark, last stable offset
            cursor.skip(16 * max(0, cursor.int32()))  # aborted transactions
            records_bytes = cursor.int32()
            if records_bytes > 0:
                return False
    return True


def rewritten(request: Request, answer: bytes, port: int) -> bytes:
    """The answer with our port wherever the broker names its own, and versions we can read."""
    if request.api_key == _API_VERSIONS:
        return _capped(answer, request.version)
    changed = bytearray(answer)
    for place in _places_of_ports(request, answer):
        struct.pack_into(">i", changed, place, port)
    return bytes(changed)


def _places_of_ports(request: Request, answer: bytes) -> list[int]:
    cursor, version = _Cursor(answer, 4), request.version
    if request.api_key == _METADATA:
        cursor.skip(4 if version >= _RESHAPED else 0)  # throttle time
        return [_place_of_port(cursor, has_rack=version >= 1) for _ in range(cursor.int32())]
    if request.api_key == _FIND_COORDINATOR:
        cursor.skip(4 if version >= 1 else 0)
        cursor.skip(2)  # error code
        if version >= 1:
            cursor.skip_string()
        return [_place_of_port(cursor, has_rack=False)]
    return []


def _place_of_port(cursor: "_Cursor", *, has_rack: bool) -> int:
    """Offset of the port in a broker's id, host, port and rack."""
    cursor.skip(4)
    cursor.skip_string()
    place = cursor.position
    cursor.skip(4)
    if has_rack:
        cursor.skip_string()
    return place


def _capped(answer: bytes, version: int) -> bytes:
    """ApiVersions in versions 0 to 3: entries of three int16, from 3 on with a tag byte each."""
    is_flexible = version >= _RESHAPED
    changed = bytearray(answer)
    start, stride = (7, 7) if is_flexible else (10, 6)
    count = answer[6] - 1 if is_flexible else struct.unpack_from(">i", answer, 6)[0]
    for place in range(start, start + count * stride, stride):
        api_key, _oldest, newest = struct.unpack_from(">hhh", changed, place)
        struct.pack_into(">h", changed, place + 4, min(newest, _NEWEST.get(api_key, newest)))
    return bytes(changed)


class _Cursor:
    """Reads Kafka's fixed-width fields from a frame."""

    def __init__(self, frame: bytes, position: int) -> None:
        self._frame = frame
        self.position = position

    def int16(self) -> int:
        return self._read(">h", 2)

    def int32(self) -> int:
        return self._read(">i", 4)

    def skip(self, count: int) -> None:
        self.position += count

    def skip_string(self) -> None:
        """A string or a null, which has length -1."""
        self.skip(max(0, self.int16()))

    def _read(self, form: str, size: int) -> int:
        value: int = struct.unpack_from(form, self._frame, self.position)[0]
        self.position += size
        return value


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    if not 0 < size <= _FRAME_BYTES_MAX:
        raise ConnectionAbortedError(f"a frame of {size} bytes is none of Kafka's")
    return await reader.readexactly(size)


def write_frame(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)))
    writer.write(frame)


async def main(*, port: int, broker_port: int) -> None:
    """Listen until SIGTERM or SIGINT."""
    front = Front(broker_port=broker_port, port=port)
    stopped = asyncio.Event()
    told_to_stop(stopped.set, again=partial(leave, 1))
    server = await asyncio.start_server(front.serve, "127.0.0.1", port, limit=_READ_AHEAD_BYTES)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--broker-port", type=int, required=True)
    arguments = parser.parse_args()
    uvloop.run(main(port=arguments.port, broker_port=arguments.broker_port))
