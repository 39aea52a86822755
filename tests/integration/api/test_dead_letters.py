"""Dead letters over HTTP: listed in pages, shown whole, tried again or closed, signed."""

import base64
import uuid

from payments.commands import ParkMessage
from payments.dead_letter import DeadLetter, DeadLetterReason, SourceMessage
from payments.outcome import Retriable
from store.read.found import READ_MAX
from store.write.group_commit import Submission
from tests.support.api.ingress import Ingress
from tests.support.api.stage import settle

_REDRIVEN_SINCE = """
INSERT INTO dead_letters
    (id, tenant_id, stage, reason, error, topic, message_partition, message_offset,
     message_headers, attempts, state, first_failed_at, last_failed_at, resolved_at, resolved_by,
     version)
SELECT
    gen_random_uuid(), 'default', 'charge', 'handler_error', 'boom', 'payments.charges', 0, number,
    '{}', 1, 'redriven', now(), now(), now(), 'ada', 1
FROM generate_series(1, $1) AS number
"""
KEY, VALUE = b"\xff\x00key", b'{"payment_id": 7}'


async def _park(
    ingress: Ingress,
    stage: str = "charge",
    reason: DeadLetterReason = DeadLetterReason.HANDLER_ERROR,
    payment_id: uuid.UUID | None = None,
) -> str:
    source = SourceMessage("payments.charges", 3, 14, KEY, VALUE, {"ce_type": "charge.requested"})
    command = ParkMessage(uuid.uuid4(), "default", stage, reason, "boom", source, payment_id)
    letter = (await ingress.committer.submit(Submission(command))).result
    assert isinstance(letter, DeadLetter)
    return str(letter.id)


async def test_a_letter_is_shown_with_the_bytes_that_came(ingress: Ingress) -> None:
    """Where the message stood, its key and value in base64, and why it is here."""
    letter = await _park(ingress)
    shown = (await ingress.client.get(f"/api/v1/dead-letters/{letter}")).json
    assert base64.b64decode(str(shown["key_base64"])) == KEY
    assert base64.b64decode(str(shown["value_base64"])) == VALUE
    assert (shown["topic"], shown["partition"], shown["offset"]) == ("payments.charges", 3, 14)
    assert (shown["state"], shown["reason"], shown["error"]) == ("parked", "handler_error", "boom")


async def test_letters_are_listed_in_pages_and_by_filter(ingress: Ingress) -> None:
    """The newest failure first; state, stage and reason narrow the list."""
    letters = [await _park(ingress) for _ in range(3)]
    letters.append(await _park(ingress, "refund", DeadLetterReason.UNDECODABLE))
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await ingress.client.get(f"/api/v1/dead-letters?limit=2{cursor}")).json
        assert isinstance(page["data"], list)
        seen += [letter["id"] for letter in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == letters[::-1]
    for query in ("stage=refund", "reason=undecodable", "state=parked&stage=refund"):
        data = (await ingress.client.get(f"/api/v1/dead-letters?{query}")).json["data"]
        assert isinstance(data, list)
        assert [letter["id"] for letter in data] == [letters[3]], query
    assert (await ingress.client.get("/api/v1/dead-letters?state=discarded")).json["data"] == []


async def test_a_page_gives_up_on_its_filter_and_says_where_to_go_on(ingress: Ingress) -> None:
    """It is empty and has a next one; what is parked is found at once behind what is not."""
    sought = await _park(ingress, "refund")
    await ingress.pool.execute(_REDRIVEN_SINCE, READ_MAX)
    path = "/api/v1/dead-letters?stage=refund"
    page = (await ingress.client.get(path)).json
    assert page["data"] == []
    behind = (await ingress.client.get(f"{path}&cursor={page['next_cursor']}")).json
    parked = (await ingress.client.get(f"{path}&state=parked")).json
    for found in (behind, parked):
        assert isinstance(found["data"], list)
        assert [letter["id"] for letter in found["data"]] == [sought]
        assert found["next_cursor"] is None


async def test_a_letter_is_resolved_once_and_signed(ingress: Ingress) -> None:
    """Redriven or discarded with who and why; the second time it is 409."""
    for action, state in (("redrive", "redriven"), ("discard", "discarded")):
        path = f"/api/v1/dead-letters/{await _park(ingress)}"
        unsigned = await ingress.client.post(f"{path}/{action}", {}, key=None)
        assert (unsigned.status, unsigned.code) == (422, "invalid_request")
        body = {"reason": "the bug is fixed"}
        reply = await ingress.client.post(f"{path}/{action}", body, key=None)
        assert reply.status == 200
        assert (reply.text("state"), reply.text("resolved_by")) == (state, "open")
        assert reply.text("resolution") == "the bug is fixed"
        again = await ingress.client.post(f"{path}/{action}", body, key=None)
        assert (again.status, again.code) == (409, "dead_letter_not_parked")


async def test_a_letter_shows_what_waits_behind_it(ingress: Ingress) -> None:
    """And each of these what it waits behind; it cannot be redriven before, only with that."""
    payment = uuid.UUID((await ingress.client.pay(await ingress.client.account())).text("id"))
    first = await _park(ingress, payment_id=payment)
    second = await _park(ingress, reason=DeadLetterReason.WAITS_BEHIND, payment_id=payment)
    shown = (await ingress.client.get(f"/api/v1/dead-letters/{first}")).json
    assert (shown["queued_for"], shown["waits_behind"]) == (str(payment), None)
    assert shown["waiting"] == [second]
    behind = (await ingress.client.get(f"/api/v1/dead-letters/{second}")).json
    assert (behind["waits_behind"], behind["waiting"]) == (first, [])
    body = {"reason": "mended"}
    reply = await ingress.client.post(f"/api/v1/dead-letters/{second}/redrive", body, key=None)
    assert (reply.status, reply.code) == (409, "dead_letter_not_redrivable")
    await ingress.client.post(f"/api/v1/dead-letters/{first}/redrive", body, key=None)
    behind = (await ingress.client.get(f"/api/v1/dead-letters/{second}")).json
    assert behind["state"] == "redriven"


async def test_poison_nobody_can_read_can_only_be_discarded(ingress: Ingress) -> None:
    """What could not be decoded will not be, so it is not redriven."""
    letter = await _park(ingress, reason=DeadLetterReason.UNDECODABLE)
    body = {"reason": "try"}
    reply = await ingress.client.post(f"/api/v1/dead-letters/{letter}/redrive", body)
    assert (reply.status, reply.code) == (409, "dead_letter_not_redrivable")


async def test_a_payment_given_up_is_tried_again(ingress: Ingress) -> None:
    """An operator's redrive takes the payment from failed to pending, with its hold."""
    client = ingress.client
    account = await client.account()
    payment = (await client.pay(account)).text("id")
    for attempt in range(1, 6):
        await settle(ingress.committer, payment, Retriable("503", "busy"), attempt)
    assert (await client.get(f"/api/v1/payments/{payment}")).text("status") == "failed"
    data = (await client.get("/api/v1/dead-letters?reason=retries_exhausted")).json["data"]
    assert isinstance(data, list)
    assert data[0]["payment_id"] == payment
    body = {"reason": "the provider is back"}
    assert (await client.post(f"/api/v1/dead-letters/{data[0]['id']}/redrive", body)).status == 200
    assert (await client.get(f"/api/v1/payments/{payment}")).text("status") == "pending"
    assert (await client.get(f"/api/v1/accounts/{account}")).text("available") == "950.00"
