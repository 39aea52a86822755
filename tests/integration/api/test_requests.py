"""Whatever a client can send is answered by a 4xx with a problem, and never a 500."""

import asyncio

import asyncpg
import pytest

from process.addresses import RedisAddress
from tests.support.api.ingress import Client, Ingress, Options, running
from tests.support.waiting import in_time


async def test_text_no_database_stores_is_named(client: Client) -> None:
    """In a body that is right otherwise, NUL and half a surrogate pair are 422, not 500."""
    account = await client.account()
    rest = f'"payment_type":"external_payment","source_account_id":"{account}",'
    rest += '"amount":1,"currency":"USD","provider":"stripe"'
    for place, pointer in (
        (r'"description":"a\u0000"', "/description"),
        (r'"description":"\ud800"', "/description"),
        (r'"metadata":{"a":["\u0000"]}', "/metadata/a/0"),
        (r'"metadata":{"\udfff":1}', "/metadata"),
    ):
        reply = await client.post("/api/v1/payments", f"{{{rest},{place}}}".encode())
        assert (reply.status, reply.code) == (422, "invalid_request"), place
        errors = reply.json["errors"]
        assert isinstance(errors, list)
        assert errors[0]["pointer"] == pointer


async def test_a_body_is_json_in_utf_8_and_says_so(client: Client) -> None:
    """Anything else is 415, also what curl sends when it is not told."""
    statuses = {
        "application/json": 201,
        "application/json; charset=utf-8": 201,
        "Application/JSON": 201,
        "application/x-www-form-urlencoded": 415,
        "text/plain": 415,
        "": 415,
        "json": 415,
        "application/json; charset=latin-1": 415,
    }
    body = b'{"user_id": "u", "currency": "USD"}'
    for sent, status in statuses.items():
        headers = {"Content-Type": sent}
        reply = await client.send("POST", "/api/v1/accounts", body=body, headers=headers)
        assert reply.status == status, sent
    reply = await client.send(
        "POST", "/api/v1/accounts", body=body, headers={"Content-Encoding": "gzip"}
    )
    assert (reply.status, reply.code) == (415, "unsupported_media_type")


async def test_what_is_not_there_is_404_and_what_is_not_taken_405(client: Client) -> None:
    """Also these are problems, and 405 says what is taken."""
    for path in (
        "/api",
        "/api/v1/accounts/",
        "/api/v2/payments",
        "/api/v1/%00",
        "/docs/assets/x",
    ):
        reply = await client.get(path)
        assert (reply.status, reply.code) == (404, "not_found"), path
    reply = await client.send("DELETE", "/api/v1/payments")
    assert (reply.status, reply.code) == (405, "method_not_allowed")
    assert reply.headers["Allow"] == "GET, HEAD, POST"


async def test_every_answer_says_which_request_and_which_trace(client: Client) -> None:
    """A sane X-Request-ID is echoed, another replaced; the trace goes on if there is one."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    sent = {"X-Request-ID": "abc-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    for path in ("/health", "/api/v1/payments", "/nowhere", "/docs"):
        reply = await client.send("GET", path, headers=sent)
        assert reply.headers["X-Request-ID"] == "abc-1"
        assert reply.headers["traceparent"].split("-")[1] == trace
    for odd in ("", "a b", "é", "x" * 129, "a\tb"):
        reply = await client.send(
            "GET", "/health", headers={"X-Request-ID": odd, "traceparent": odd}
        )
        assert len(reply.headers["X-Request-ID"]) == 32
        assert len(reply.headers["traceparent"]) == 55


async def test_a_body_that_never_comes_is_408(
    pool: "asyncpg.Pool[asyncpg.Record]", redis_address: RedisAddress
) -> None:
    """A client that promises a body and does not send it is let go after the read timeout."""
    options = Options(read_timeout_seconds=0.2)
    async with running(pool, redis_address, options) as ingress:
        answer = await _raw(
            ingress,
            b"POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b'Content-Length: 100\r\n\r\n{"user_id"',
        )
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_timeout"' in answer


async def test_a_client_that_waits_for_100_continue_is_told_to_go_on(ingress: Ingress) -> None:
    """Curl does this for bodies over a kilobyte."""
    body = b'{"user_id": "u", "currency": "USD"}'
    answer = await _raw(
        ingress,
        b"POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        % len(body)
        + body,
    )
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 ")


@pytest.mark.parametrize(
    ("asked", "status"), [(b"GET /nowhere", b"404"), (b"PUT /api/v1/payments", b"405")]
)
async def test_what_nobody_serves_is_a_problem_whatever_is_expected(
    ingress: Ingress, asked: bytes, status: bytes
) -> None:
    """Though its client expects what nobody meets, or what is no text."""
    for expected in (b"more", b"\xe9"):
        answer = await _raw(
            ingress, asked + b" HTTP/1.1\r\nHost: x\r\nExpect: " + expected + b"\r\n\r\n"
        )
        assert answer.split()[1] == status
        assert b"application/problem+json" in answer
        assert b"X-Request-ID: " in answer


async def _raw(ingress: Ingress, sent: bytes, *, until_closed: bool = False) -> bytes:
    """What the server says to these bytes: one answer, or all until it closes the connection."""
    host, port = ingress.client.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    try:
        async with in_time(15):
            answer = await (reader.read() if until_closed else reader.readuntil(b"}"))
    finally:
        writer.close()
    return answer


async def test_bytes_that_are_no_request_get_a_problem_too(ingress: Ingress) -> None:
    """400, with an id to quote, and the connection is closed; others are not disturbed."""
    for sent in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 300 + b"\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"get /health HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        answer = await _raw(ingress, sent, until_closed=True)
        assert answer.split(b" ")[1] == b"400", sent
        for header in (b"X-Request-ID: ", b"traceparent: "):
            assert header in answer, sent
        assert b'"code":"malformed_http"' in answer
    assert (await ingress.client.get("/health")).status == 200


async def test_a_body_in_broken_chunks_is_refused(ingress: Ingress) -> None:
    """What cannot be put together again is the client's mistake."""
    answer = await _raw(
        ingress,
        b"POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    )
    assert answer.split(b" ")[1] == b"400"
    assert b'"code":"malformed_http"' in answer


async def test_a_key_sent_twice_or_in_other_bytes_is_400(ingress: Ingress) -> None:
    """Two keys are none, and so is one that is not ASCII."""
    for keys in (b"Idempotency-Key: a\r\nIdempotency-Key: b", b"Idempotency-Key: \xff"):
        answer = await _raw(
            ingress,
            b"POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + keys
            + b"\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        )
        assert answer.split(b" ")[1] == b"400", keys
        assert b'"code":"idempotency_key_invalid"' in answer
