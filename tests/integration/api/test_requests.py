"""Whatever a client can send is answered by a 4xx with a problem, and never a 500."""

import asyncio
from uuid import uuid4

import asyncpg
import orjson

from tests.fixtures.valkey import RedisAddress
from tests.integration.api.ingress import Client, Ingress, Options, running

PATHS = [
    "/api/v1/accounts",
    "/api/v1/transfers",
    "/api/v1/payments",
    f"/api/v1/payments/{uuid4()}/refund",
    f"/api/v1/payments/{uuid4()}/capture",
    f"/api/v1/payments/{uuid4()}/cancel",
    f"/api/v1/dead-letters/{uuid4()}/redrive",
    f"/api/v1/dead-letters/{uuid4()}/discard",
]
HOSTILE = {
    "nothing but spaces": (b"   ", 400),
    "cut off": (b'{"amount": ', 400),
    "NaN": (b'{"amount": NaN}', 400),
    "a duplicate": (b'{"amount": 1, "amount": 1}', 400),
    "too deep": (b"[" * 20_000, 400),
    "not UTF-8": (b'{"amount": "\xff"}', 400),
    "UTF-16": ('{"amount": 1}'.encode("utf-16"), 400),
    "NUL": (rb'{"user_id": "\u0000", "reason": "\u0000"}', 422),
    "half a pair": (rb'{"user_id": "\ud800", "reason": "\ud800"}', 422),
    "NUL in a key": (rb'{"\u0000": 1}', 422),
    "an array": (b"[]", 422),
    "a number": (b"1", 422),
    "null": (b"null", 422),
    "another field": (b'{"is_admin": true}', 422),
    "a long key": (orjson.dumps({"k" * 60_000: 1}), 422),
    "many keys": (orjson.dumps({str(n): n for n in range(5000)}), 422),
    "an integer of 60,000 digits": (b'{"amount": ' + b"9" * 60_000 + b"}", 422),
    "exactly 64 KiB": (b'{"x": "' + b"x" * (65_536 - 9) + b'"}', 422),
    "a byte over 64 KiB": (b'{"x": "' + b"x" * (65_536 - 8) + b'"}', 413),
    "almost a megabyte": (b'{"x": "' + b"x" * 900_000 + b'"}', 413),
}


async def test_a_hostile_body_is_refused_everywhere(client: Client) -> None:
    """Each body of the corpus gets its 4xx on each route that takes a body."""
    expected = {name: status for name, (_, status) in HOSTILE.items()}
    for path in PATHS:
        statuses = {}
        for name, (body, _) in HOSTILE.items():
            reply = await client.post(path, body)
            assert reply.code, name
            statuses[name] = reply.status
        assert statuses == expected, path


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


async def test_a_body_that_comes_in_pieces_is_measured_too(client: Client) -> None:
    """Without a Content-Length, 64 KiB are still the limit."""

    async def pieces() -> object:
        for _ in range(70):
            yield b" " * 1024

    async with client.session.post(
        f"{client.address}/api/v1/accounts",
        data=pieces(),
        headers={"Content-Type": "application/json"},
    ) as response:
        assert response.status == 413
        assert (await response.json(content_type=None))["code"] == "body_too_large"


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
        "/",
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


async def test_what_is_no_id_names_nothing(client: Client) -> None:
    """404, on every route with an id."""
    for text in ("x", "1", "%00", "..", "0190a5e4", "%ED%A0%80", "0" * 500, "%2F"):
        for kind in ("accounts", "payments", "refunds", "dead-letters"):
            reply = await client.get(f"/api/v1/{kind}/{text}")
            assert reply.status == 404, kind
            assert str(reply.code).endswith("not_found")
        assert (await client.post(f"/api/v1/payments/{text}/refund", {})).status == 404


async def test_a_hostile_query_is_refused(client: Client) -> None:
    """422, naming the parameter."""
    for query in (
        "limit=0", "limit=101", "limit=-1", "offset=-1", "status=x", "cursor=x", "limit=1&limit=2",
        "cursor=%00", "%00=1", "cursor=%ED%A0%80", "created[gte]=x", "=", "account_id=%27--",
    ):  # fmt: skip
        reply = await client.get(f"/api/v1/payments?{query}")
        assert (reply.status, reply.code) == (422, "invalid_request"), query
        errors = reply.json["errors"]
        assert isinstance(errors, list)
        assert "parameter" in errors[0]


async def test_odd_text_is_text(client: Client) -> None:
    """What is merely odd is kept as it is and returned as it was."""
    for text in ("<script>alert(1)</script>", "'; DROP TABLE payments; --", "😀" * 60, "\u202e"):
        body = {"user_id": text, "currency": "USD", "initial_balance": 9}
        account = (await client.post("/api/v1/accounts", body)).json
        assert account["user_id"] == text
        reply = await client.pay(str(account["id"]), "1", description=text, metadata={"t": text})
        assert reply.status == 202
        assert (reply.json["description"], reply.json["metadata"]) == (text, {"t": text})


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


async def _raw(ingress: Ingress, sent: bytes, *, until_closed: bool = False) -> bytes:
    """What the server says to these bytes: one answer, or all until it closes the connection."""
    host, port = ingress.client.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    try:
        async with asyncio.timeout(15):
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
