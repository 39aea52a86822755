"""Dead letters, webhooks, relays, accounts and figures at the console: seen, and acted on."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from cli.signing import Signer, entered
from lag.report import GroupLag, GroupState, StreamsReport
from payments.commands import ParkMessage
from payments.dead_letter import DeadLetter, DeadLetterReason, SourceMessage
from payments.outcome import Declined
from store.read.found import READ_MAX
from store.write.group_commit import Submission
from store.write.operators import sign
from tests.support.api.ingress import Options, running
from tests.support.api.possessions import possessions
from tests.support.api.stage import settle
from tests.support.api.visitor import visiting
from tests.support.factories import TENANT

if TYPE_CHECKING:
    import asyncpg

    from process.addresses import RedisAddress
    from tests.support.api.ingress import Ingress
    from tests.support.api.visitor import Visitor

_DELETED_ENDPOINTS = """
INSERT INTO webhook_endpoints
    (id, tenant_id, url, event_types, api_version, description, state, key_id, secret_number,
     changed_by, version, created_at, updated_at)
SELECT
    gen_random_uuid(), 'default', 'https://example.com', '{}', '2026-01-01', '', 'deleted', 'k', 1,
    'ada', 1, now(), now()
FROM generate_series(1, $1)
"""
_VALUE = b"\x00\xff<script>alert(1)</script>"


async def _park(
    ingress: Ingress,
    reason: DeadLetterReason = DeadLetterReason.HANDLER_ERROR,
    value: bytes = b'{"payment_id": 7}',
) -> str:
    source = SourceMessage("payments.charges", 3, 14, b"k", value, {"ce_type": "charge.requested"})
    command = ParkMessage(uuid.uuid4(), TENANT, "charge", reason, "boom", source)
    letter = (await ingress.committer.submit(Submission(command))).result
    assert isinstance(letter, DeadLetter)
    return str(letter.id)


async def test_a_letters_bytes_are_shown_and_nothing_of_them_runs(
    ingress: Ingress, visitor: Visitor
) -> None:
    """In hexadecimal and as text, with where the message stood."""
    letter = await _park(ingress, value=_VALUE)
    page = await visitor.look(f"/console/dead-letters/{letter}")
    assert "00 ff 3c 73 63 72 69 70 74" in page.text
    assert "payments.charges, partition 3, offset 14" in page.text
    assert "<script>alert" not in page.html


async def test_letters_are_listed_by_reason_those_that_are_parked_first(
    ingress: Ingress, visitor: Visitor
) -> None:
    """Unless another state is asked for, or all."""
    parked, other = await _park(ingress), await _park(ingress, DeadLetterReason.UNDECODABLE)
    body = {"reason": "noise"}
    await ingress.client.post(f"/api/v1/dead-letters/{other}/discard", body)
    for query, found in (
        ("", {parked}), ("?state=discarded", {other}), ("?state=all", {parked, other}),
        ("?state=all&reason=undecodable", {other}), ("?reason=undecodable", set()),
    ):  # fmt: skip
        page = await visitor.look(f"/console/dead-letters{query}")
        shown = {each for each in (parked, other) if f"/console/dead-letters/{each}" in page.links}
        assert shown == found, query


async def test_an_empty_page_of_a_list_that_goes_on_says_so(
    ingress: Ingress, visitor: Visitor
) -> None:
    """Nobody is told that there is nothing where nothing was looked at."""
    await ingress.pool.execute(_DELETED_ENDPOINTS, READ_MAX)
    page = await visitor.look("/console/webhook-endpoints")
    assert "there are older ones" in page.text
    (older,) = (each for each in page.links if "cursor=" in each)
    page = await visitor.look(f"/console/webhook-endpoints{older}")
    assert "Nobody has asked to be told" in page.text


async def test_a_redrive_is_rehearsed_without_a_trace_and_then_done(
    ingress: Ingress, visitor: Visitor
) -> None:
    """What would be refused is said beforehand; what is done is done once and signed."""
    letter, noise = await _park(ingress), await _park(ingress, DeadLetterReason.UNDECODABLE)
    hopeless = await visitor.look(f"/console/dead-letters/{noise}/redrive")
    assert "it would be refused" in hopeless.text
    path = f"/console/dead-letters/{letter}/redrive"
    assert "it would be tried again" in (await visitor.look(path)).text
    shown = await ingress.client.get(f"/api/v1/dead-letters/{letter}")
    assert shown.text("state") == "parked"
    assert await ingress.pool.fetchval("SELECT count(*) FROM audit_log") == 0
    assert (await visitor.fill(path, reason="the bug is fixed")).status == 303
    shown = await ingress.client.get(f"/api/v1/dead-letters/{letter}")
    assert (shown.text("state"), shown.text("resolution")) == ("redriven", "the bug is fixed")
    again = await visitor.fill(path, reason="once more")
    assert again.status == 409
    assert await ingress.pool.fetchval("SELECT count(*) FROM audit_log") == 2


async def test_an_endpoints_secret_is_rolled_and_shown_in_one_answer_alone(
    ingress: Ingress, visitor: Visitor
) -> None:
    """Neither the log, nor what is kept under the form's key, nor the endpoint's page has it."""
    owned = await possessions(ingress, ingress.client, TENANT)
    path = f"/console/webhook-endpoints/{owned.endpoint}"
    shown = await visitor.fill(f"{path}/rotate-secret", reason="it was in a chat")
    assert shown.status == 200
    secret = next(word for word in shown.text.split() if word.startswith("whsec_"))
    kept = await ingress.pool.fetch(
        "SELECT convert_from(body, 'UTF8') AS said FROM idempotency_keys "
        "UNION ALL SELECT asked::text FROM audit_log"
    )
    assert not [row for row in kept if secret in row["said"]]
    page = await visitor.look(path)
    assert secret not in page.html
    assert "number 2" in page.text


async def test_an_endpoint_is_made_and_its_secret_shown_in_one_answer_alone(
    ingress: Ingress, visitor: Visitor
) -> None:
    """What the API refuses is asked for again, as it was written."""
    path = "/console/webhook-endpoints/new"
    wanted = {"event_types": "payment.completed  payment.failed", "reason": "the shop asked"}
    refused = await visitor.fill(path, url="http://127.0.0.1/", **wanted)
    assert refused.status == 422
    assert refused.form.fields["event_types"] == wanted["event_types"]
    made = await visitor.fill(path, url="https://shop.example/hook", **wanted)
    assert made.status == 200
    secret = next(word for word in made.text.split() if word.startswith("whsec_"))
    listed = await ingress.client.get("/api/v1/webhook-endpoints")
    (endpoint,) = orjson.loads(listed.body)["data"]
    assert endpoint["url"] == "https://shop.example/hook"
    assert endpoint["event_types"] == ["payment.completed", "payment.failed"]
    assert secret not in (await visitor.look("/console/webhook-endpoints")).html
    (kept,) = await ingress.pool.fetch("SELECT * FROM audit_log WHERE outcome = 'done'")
    assert (kept["action"], kept["target"]) == (
        "create_webhook_endpoint",
        "/api/v1/webhook-endpoints",
    )
    assert secret not in kept["asked"]


async def test_an_endpoint_is_paused_and_sent_things_again(
    ingress: Ingress, visitor: Visitor
) -> None:
    """What is not offered to an endpoint in its state is refused with a reason."""
    owned = await possessions(ingress, ingress.client, TENANT)
    path = f"/console/webhook-endpoints/{owned.endpoint}"
    delivery = f"{path}/deliveries/{owned.delivery}"
    assert "webhook.test" in (await visitor.look(delivery)).text
    for form, state in (
        (f"{delivery}/replay", "enabled"), (f"{path}/replays", "enabled"),
        (f"{path}/test", "enabled"), (f"{path}/pause", "paused"), (f"{path}/enable", "enabled"),
    ):  # fmt: skip
        done = await visitor.fill(form, reason="a test")
        assert done.status == 303, (form, done.text)
        endpoint = await ingress.client.get(f"/api/v1/webhook-endpoints/{owned.endpoint}")
        assert endpoint.text("state") == state, form
    log = await visitor.look("/console/audit-log?action=change_webhook_endpoint")
    assert log.text.count("Change webhook endpoint") == 2
    replays = await ingress.pool.fetchval("SELECT count(*) FROM webhook_replays")
    assert replays == 2


async def test_how_far_behind_was_over_half_an_hour_is_drawn(
    pool: asyncpg.Pool[asyncpg.Record], redis_address: RedisAddress
) -> None:
    """Of each stage in messages and of each relay in bytes, with the most of it in words."""
    group = GroupLag(
        "payments-charge", "payments.charges", GroupState.STALLED, 1, 7, 3.0, 0.0, None, ()
    )
    report = StreamsReport(datetime.now(UTC), (group,), (), (), (), ())
    trail = {("payments-charge", "payments.charges"): [None, 0, 70, 7], ("", "slot"): [2048, None]}
    options = Options(streams=lambda: report, trail=lambda: trail)
    await pool.execute("INSERT INTO relay_sinks (sink, slot) VALUES ('kafka', 'slot')")
    async with running(pool, redis_address, options) as ingress, visiting(ingress) as visitor:
        page = await visitor.look("/console/streams")
    assert 'aria-label="Messages behind over half an hour, at most 70"' in page.html
    assert 'aria-label="Bytes behind over half an hour, at most 2 KiB"' in page.html


async def test_a_relay_is_paused_through_its_table_and_signed(
    ingress: Ingress, visitor: Visitor
) -> None:
    """Together with the line in the log; of a sink that there is none of, neither."""
    await ingress.pool.execute("INSERT INTO relay_sinks (sink, slot) VALUES ('kafka', 'slot')")
    page = await visitor.look("/console/streams")
    assert "/console/streams/relays/kafka/pause" in page.links
    for command in ("pause", "resume"):
        done = await visitor.fill(f"/console/streams/relays/kafka/{command}", reason="an upgrade")
        assert done.status == 303
    assert (await visitor.look("/console/streams/relays/nowhere/pause")).status == 404
    asked = await ingress.pool.fetch(
        "SELECT command, actor, reason FROM relay_commands ORDER BY id"
    )
    assert [tuple(row) for row in asked] == [
        ("pause", "open", "an upgrade"), ("resume", "open", "an upgrade"),
    ]  # fmt: skip
    signed = await ingress.pool.fetch("SELECT action, tenant_id FROM audit_log ORDER BY id")
    assert [tuple(row) for row in signed] == [("pause_relay", ""), ("resume_relay", "")]
    assert "Resume relay relays kafka resume" in (await visitor.look("/console/audit-log")).text


async def test_what_was_asked_at_the_command_line_is_in_the_log(
    ingress: Ingress, visitor: Visitor
) -> None:
    """With what it was about, as the command calls it."""
    signature = Signer("ann", "a leak").signature("revoke_api_key", "/api-keys/00112233")
    async with ingress.pool.acquire() as connection:
        await sign(connection, entered(signature))
    page = await visitor.look("/console/audit-log")
    assert "cli ann Revoke api key api-keys 00112233" in page.text
    assert "a leak" in page.text


async def test_an_account_shows_what_it_has_and_what_moved(
    ingress: Ingress, visitor: Visitor
) -> None:
    """Found by its id; what is held is not spent yet."""
    client = ingress.client
    account = await client.account("100.00")
    await client.pay(account, "30.00")
    found = await visitor.look(f"/console/accounts?q={account.upper()}")
    page = await visitor.follow(found)
    for said in ("100.00 USD", "70.00 USD", "30.00 USD"):
        assert said in page.text
    assert (await visitor.look("/console/accounts?q=nobody")).status == 404


async def test_the_overview_counts_what_became_of_payments(
    ingress: Ingress, visitor: Visitor
) -> None:
    """Accepted, completed, failed, money by currency, and what waits."""
    client = ingress.client
    account = await client.account()
    payments = [(await client.pay(account, "10.00")).text("id") for _ in range(4)]
    await settle(ingress.committer, payments[0])
    await settle(ingress.committer, payments[1])
    await settle(ingress.committer, payments[2], Declined("declined", "no"))
    page = await visitor.look("/console")
    assert "Accepted 4 Completed 2 Failed or cancelled 1" in page.text
    assert "USD 20.00" in page.text
    assert "Pending 1" in page.text
    assert "estimate" not in page.text


async def test_what_the_books_and_providers_say_is_there(
    ingress: Ingress, visitor: Visitor
) -> None:
    """Calls by how they ended; nothing, in words, where there is nothing."""
    payment = (await ingress.client.pay(await ingress.client.account())).text("id")
    await settle(ingress.committer, payment)
    assert "Succeeded" in (await visitor.look("/console/providers")).text
    assert "our books agree" in (await visitor.look("/console/books")).text
