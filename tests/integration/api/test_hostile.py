"""Whatever a client can send is answered by the right 4xx with a problem, and nothing is written.

The corpus is in hostile.py; it is made from the routes, so that a new one is attacked too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api.access.scopes import Everyone
from api.routes import ROUTES
from tests.support.api import hostile
from tests.support.api.possessions import Possessions, possessions
from tests.support.factories import TENANT
from tests.support.verify.world import live

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from tests.support.api.ingress import Client, Ingress, Reply


@pytest.fixture
async def owned(ingress: Ingress) -> Possessions:
    """One of each thing."""
    return await possessions(ingress, ingress.client, TENANT)


@pytest.fixture
async def untouched(ingress: Ingress, owned: Possessions) -> AsyncIterator[Possessions]:
    """One of each thing, and after the test not a row more or less, and no 5xx."""
    before = await _rows(ingress.pool)
    yield owned
    assert await _rows(ingress.pool) == before
    assert _server_errors(ingress) == 0


async def _rows(pool: asyncpg.Pool[asyncpg.Record]) -> dict[str, tuple[object, ...]]:
    """How many rows each table has, and which transaction wrote the youngest."""
    tables = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    counted = {}
    for (table,) in tables:
        sql = f'SELECT count(*), max(xmin::text::bigint) FROM "{table}"'  # noqa: S608 - our own tables
        (row,) = await pool.fetch(sql)
        counted[table] = tuple(row)
    return counted


def _server_errors(ingress: Ingress) -> float:
    return sum(
        sample.value
        for family in ingress.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "payments_http_requests_total" and sample.labels["status"] == "5xx"
    )


def _places(reply: Reply) -> list[str]:
    """The first step of each pointer of a refusal, or its parameter."""
    errors = reply.json["errors"]
    assert isinstance(errors, list)
    return [
        each["parameter"] if "parameter" in each else each["pointer"].split("/")[1]
        for each in errors
    ]


async def test_a_hostile_body_is_refused_everywhere(client: Client, untouched: Possessions) -> None:
    """Each body of the corpus gets its 4xx on each route that takes a body."""
    expected = {name: status for name, (_, status) in hostile.BODIES.items()}
    for route in hostile.WITH_BODY:
        statuses = {}
        for name, (body, _) in hostile.BODIES.items():
            reply = await client.write(route.method, untouched.path_of(route), body)
            assert reply.code, name
            statuses[name] = reply.status
        assert statuses == expected, route.path


async def test_a_field_takes_its_own_kind_only(client: Client, untouched: Possessions) -> None:
    """Every field of every body, with everything that it is documented not to take: 422, named."""
    tried = 0
    for wrong in hostile.wrong_fields(untouched):
        reply = await client.write(wrong.route.method, untouched.path_of(wrong.route), wrong.body)
        assert (reply.status, reply.code) == (422, "invalid_request"), wrong
        assert _places(reply) == [wrong.field], wrong
        tried += 1
    fields = sum(len(route.body.model_fields) for route in hostile.WITH_BODY if route.body)
    assert tried > 10 * fields


async def test_a_field_too_many_is_named(client: Client, untouched: Possessions) -> None:
    """A sound body with one member more is refused for that member."""
    for route in hostile.WITH_BODY:
        body = {**(untouched.body_of(route) or {}), "tenant_id": "other"}
        reply = await client.write(route.method, untouched.path_of(route), body)
        assert (reply.status, _places(reply)) == (422, ["tenant_id"]), route.path


async def test_no_text_is_rounded_to_an_amount(client: Client, untouched: Possessions) -> None:
    """What is not exactly an amount of dollars, more than none, is refused on every route."""
    for route, field in hostile.amount_fields():
        for text in hostile.AMOUNTS:
            body = hostile.with_token(untouched.body_of(route) or {}, field, text)
            reply = await client.write(route.method, untouched.path_of(route), body)
            assert (reply.status, reply.code) == (422, "invalid_request"), (route.path, text[:40])
            assert _places(reply) == [field]


async def test_decimals_are_the_currencys(client: Client, untouched: Possessions) -> None:
    """No yen has a tenth, no dinar a ten-thousandth, at opening an account and at paying."""
    for route in hostile.WITH_BODY:
        body = untouched.body_of(route) or {}
        if "currency" not in body:
            continue
        field = "amount" if "amount" in body else "initial_balance"
        for currency, text in (("JPY", "0.5"), ("JPY", "1.0"), ("USD", "0.005"), ("KWD", "1.0001")):
            sent = hostile.with_token({**body, "currency": currency}, field, text)
            reply = await client.write(route.method, untouched.path_of(route), sent)
            assert (reply.status, _places(reply)) == (422, [field]), (route.path, currency)


async def test_another_content_type_is_415_everywhere(
    client: Client, untouched: Possessions
) -> None:
    """Whatever the body; and so is a compressed one."""
    for route in hostile.WITH_BODY:
        path = untouched.path_of(route)
        for sent in hostile.CONTENT_TYPES:
            headers = {"Content-Type": sent, "Idempotency-Key": "k"}
            reply = await client.send(route.method, path, body=b'{"amount":1}', headers=headers)
            assert (reply.status, reply.code) == (415, "unsupported_media_type"), sent
        for coding in ("gzip", "br", "identity, gzip", "x"):
            headers = {"Content-Encoding": coding, "Idempotency-Key": "k"}
            reply = await client.send(route.method, path, body=b"{}", headers=headers)
            assert (reply.status, reply.code) == (415, "unsupported_media_type"), coding


async def test_a_hostile_key_is_400_everywhere(client: Client, untouched: Possessions) -> None:
    """On each route that takes a key, required or not; in vain where none is taken."""
    for route in hostile.WITH_KEY:
        for key in hostile.KEYS:
            reply = await client.write(
                route.method,
                untouched.path_of(route),
                untouched.body_of(route),
                key=None,
                Idempotency_Key=key,
            )
            assert (reply.status, reply.code) == (400, "idempotency_key_invalid"), key
    for key in hostile.KEYS:
        sent = {"Idempotency-Key": key}
        assert (await client.send("GET", "/api/v1/payments", headers=sent)).status == 200


async def test_a_hostile_query_is_refused_everywhere(
    client: Client, untouched: Possessions
) -> None:
    """Each parameter of each route with what it does not take: 422, naming the parameter."""
    for route in hostile.WITH_QUERY:
        for query, name in hostile.queries(route):
            reply = await client.get(f"{untouched.path_of(route)}?{query}")
            assert reply.status == 422, (route.path, query[:50])
            assert reply.code == "invalid_request"
            assert _places(reply) == [name.encode(errors="replace").decode()], query[:50]


async def test_every_moment_of_the_calendar_may_be_asked_for(
    client: Client, untouched: Possessions
) -> None:
    """The first and the last one, too, though there is nothing before or after them."""
    asked = [(route, query) for route in hostile.WITH_QUERY for query in hostile.instants(route)]
    assert len(asked) == 10
    for route, query in asked:
        reply = await client.get(f"{untouched.path_of(route)}?{query}")
        # No account has a balance of a time before it was opened, or still to come.
        is_refused = query.startswith("as_of=")
        assert reply.status == (422 if is_refused else 200), (route.path, query)


@pytest.mark.usefixtures("untouched")
async def test_what_is_no_id_names_nothing(client: Client) -> None:
    """404 on every route with an id, before its body or its query is looked at."""
    for route in hostile.WITH_ID:
        for text in (
            "x", "1", "-1", "%00", "...", "0190a5e4", "%ED%A0%80", "%FF", "0" * 500, "%2F", "null",
            "%7B0190a5e4-7b1c-7c3e-9d3f-0a7c1be25d10%7D", "0190a5e47b1c7c3e9d3f0a7c1be25d10",
        ):  # fmt: skip
            path = route.path.replace("{id}", text)
            body = b"{" if route.body else None
            headers = {"Idempotency-Key": "k"}
            reply = await client.send(route.method, path, body=body, headers=headers)
            assert reply.status == 404, path
            assert str(reply.code).endswith("not_found")


async def test_a_cursor_opens_its_own_list_alone(ingress: Ingress) -> None:
    """One of another list, another account or other filters, or a part of one, is no cursor."""
    world = await live(ingress.committer)
    await world.park()
    client = ingress.client
    payments = (await client.get("/api/v1/payments?limit=1")).json["data"]
    assert isinstance(payments, list)
    account = payments[0]["source_account_id"]
    lists = (
        "/api/v1/payments?limit=1",
        f"/api/v1/payments?limit=1&account_id={account}",
        "/api/v1/dead-letters?limit=1",
        "/api/v1/dead-letters?limit=1&stage=charge",
        f"/api/v1/accounts/{account}/transactions?limit=1",
    )
    cursors = {path: (await client.get(path)).text("next_cursor") for path in lists}
    for path in (*lists, "/api/v1/reconciliation/breaks?limit=1"):
        for made_for, cursor in cursors.items():
            reply = await client.get(f"{path}&cursor={cursor}")
            assert reply.status == (200 if made_for == path else 422), (path, made_for)
            for part in (cursor[:-1], cursor[1:], cursor + "A", cursor + "%3D", cursor + "%20"):
                reply = await client.get(f"{path}&cursor={part}")
                assert (reply.status, _places(reply)) == (422, ["cursor"]), part
    other = await client.account()
    stolen = cursors[lists[-1]]
    reply = await client.get(f"/api/v1/accounts/{other}/transactions?limit=1&cursor={stolen}")
    assert (reply.status, _places(reply)) == (422, ["cursor"])


async def test_odd_text_is_text(client: Client) -> None:
    """What is merely odd is kept as it is, code point by code point, and returned as it was."""
    for text in (
        "<script>alert(1)</script>", "'; DROP TABLE payments; --", "\U0001f600" * 60,
        "\u202e\u2066abc\u2069", "e\u0301", "\u00e9", "a" + "\u0301" * 60, "\u200b\ufeff", "\ufffd",
        "\uffff", "\U0010ffff", "\x7f", "\x01\x1f", "${7*7}{{7*7}}", "%00%n%s", "\r\nX: y",
        "\\u0000",
    ):  # fmt: skip
        body = {"user_id": text, "currency": "USD", "initial_balance": 9}
        account = (await client.post("/api/v1/accounts", body)).json
        assert account["user_id"] == text
        metadata = {text[:40]: [text, {"deep": text}]}
        reply = await client.pay(str(account["id"]), "1", description=text, metadata=metadata)
        assert reply.status == 202
        assert (reply.json["description"], reply.json["metadata"]) == (text, metadata)
        read = await client.get(f"/api/v1/payments/{reply.text('id')}?expand=events")
        assert (read.json["description"], read.json["metadata"]) == (text, metadata)


async def test_a_body_of_just_64_kib_is_taken(client: Client) -> None:
    """In one piece or in many; a byte more is not."""
    sound = b'{"user_id": "u", "currency": "USD"}'

    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    for length, status in ((65_536, 201), (65_537, 413)):
        body = sound + b" " * (length - len(sound))
        assert (await client.post("/api/v1/accounts", body)).status == status
        async with client.session.post(
            f"{client.address}/api/v1/accounts",
            data=pieces(body),
            headers={"Content-Type": "application/json"},
        ) as response:
            assert response.request_info.headers["Transfer-Encoding"] == "chunked"
            assert response.status == status


async def test_everything_that_is_asked_for_is_asked_for(
    client: Client, untouched: Possessions
) -> None:
    """An empty object, where something is required, is refused for each such field by name."""
    for route in hostile.WITH_BODY:
        assert route.body is not None
        fields = route.body.model_fields.items()
        required = {name for name, field in fields if field.is_required()}
        if required:
            reply = await client.write(route.method, untouched.path_of(route), {})
            assert (reply.status, set(_places(reply))) == (422, required), route.path


def test_the_corpus_reaches_every_route_that_takes_anything() -> None:
    """Each but those that take nothing: the lag of the stages, and what is for everyone."""
    attacked = (*hostile.WITH_BODY, *hostile.WITH_QUERY, *hostile.WITH_ID, *hostile.WITH_KEY)
    spared = [route for route in ROUTES if route not in attacked]
    assert [route.path for route in spared if not isinstance(route.scope, Everyone)] == [
        "/api/v1/streams"
    ]
