"""A payment with any number of refunds, attempts and changes is shown in part, and listed whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest

from tests.support.api.stage import settle, settle_refund

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.api.ingress import Client, Ingress

_MANY: Final = 250
_SHOWN: Final = 100
# As many refunds as a test wants, each with a try and two changes, as the first one has them.
_REPEATED: Final = """
WITH made AS (
    SELECT n, ('ffffffff-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid AS id
    FROM generate_series(1, $2::integer) AS n
), refunds_made AS (
    INSERT INTO refunds
    SELECT (jsonb_populate_record(refunds, jsonb_build_object('id', made.id))).*
    FROM refunds, made WHERE refunds.payment_id = $1
), attempts_made AS (
    INSERT INTO attempts
    SELECT (jsonb_populate_record(
        attempts, jsonb_build_object('id', made.id, 'refund_id', made.id)
    )).*
    FROM attempts, made WHERE attempts.payment_id = $1 AND attempts.refund_id IS NOT NULL
)
INSERT INTO payment_events
SELECT (jsonb_populate_record(
    payment_events,
    jsonb_build_object('version', version + 2 * n, 'id', gen_random_uuid())
)).*
FROM payment_events, made WHERE payment_id = $1 AND type LIKE 'refund.%'
"""
_IDS: Final[dict[str, Callable[[dict[str, object]], object]]] = {
    "refunds": lambda refund: refund["id"],
    "attempts": lambda attempt: (attempt["refund_id"], attempt["number"]),
    "events": lambda event: event["version"],
}

_COUNTS: Final = {
    "refunds": "SELECT count(*) FROM refunds",
    "attempts": "SELECT count(*) FROM attempts",
    "events": "SELECT count(*) FROM payment_events",
}


async def _refunded(ingress: Ingress, times: int) -> str:
    """A completed payment with so many refunds beside a first one."""
    payment = (await ingress.client.pay(await ingress.client.account())).text("id")
    await settle(ingress.committer, payment)
    path = f"/api/v1/payments/{payment}/refund"
    refund = await ingress.client.post(path, {"amount": "0.01"})
    await settle_refund(ingress.committer, refund.text("id"))
    await ingress.pool.execute(_REPEATED, UUID(payment), times)
    return payment


async def _listed(client: Client, payment: str, name: str, cursor: object = None) -> list[object]:
    """What all pages of a list show, from a cursor on."""
    found: list[object] = []
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        reply = await client.get(f"/api/v1/payments/{payment}/{name}?limit=70{more}")
        assert reply.status == 200, reply.body
        page = reply.json
        assert isinstance(page["data"], list)
        found += map(_IDS[name], page["data"])
        if (cursor := page["next_cursor"]) is None:
            return found


async def test_what_a_payment_shows_of_its_past_is_bounded(ingress: Ingress) -> None:
    """Two thousand refunds are no larger an answer than a page of each list."""
    payment = await _refunded(ingress, 2_000)
    reply = await ingress.client.get(f"/api/v1/payments/{payment}?expand=events")
    assert len(reply.body) < 400_000
    for name in _IDS:
        part = reply.json[name]
        assert isinstance(part, list)
        assert len(part) == _SHOWN
    assert (await ingress.client.get(f"/api/v1/payments/{payment}")).json["events"] is None


@pytest.mark.parametrize("name", _IDS)
async def test_its_lists_have_all_of_it_newest_first(ingress: Ingress, name: str) -> None:
    """Each once; and what the payment shows are the first of them, its cursor leads to the rest."""
    client = ingress.client
    payment = await _refunded(ingress, _MANY)
    listed = await _listed(client, payment, name)
    rows = await ingress.pool.fetchval(_COUNTS[name])
    assert len(set(listed)) == len(listed) == rows > _MANY
    shown = (await client.get(f"/api/v1/payments/{payment}?expand=events")).json
    part = shown[name]
    assert isinstance(part, list)
    assert [_IDS[name](each) for each in part] == listed[:_SHOWN][::-1]
    assert await _listed(client, payment, name, shown[f"{name}_next_cursor"]) == listed[_SHOWN:]


async def test_a_payment_that_is_shown_whole_says_so(ingress: Ingress) -> None:
    """No cursor; and its lists show the same."""
    payment = await _refunded(ingress, 1)
    shown = (await ingress.client.get(f"/api/v1/payments/{payment}?expand=events")).json
    for name, of in _IDS.items():
        part = shown[name]
        assert isinstance(part, list)
        assert shown[f"{name}_next_cursor"] is None
        assert await _listed(ingress.client, payment, name) == [of(each) for each in part][::-1]


async def test_a_cursor_of_one_list_is_refused_by_another(ingress: Ingress) -> None:
    """Of another payment too; and there are no lists of what is not there."""
    payment, other = [await _refunded(ingress, count) for count in (_SHOWN, 0)]
    shown = (await ingress.client.get(f"/api/v1/payments/{payment}?expand=events")).json
    for name in _IDS:
        cursor = shown[f"{name}_next_cursor"]
        for path in (
            *(f"{payment}/{another}" for another in _IDS if another != name),
            f"{other}/{name}",
        ):
            reply = await ingress.client.get(f"/api/v1/payments/{path}?cursor={cursor}")
            assert (reply.status, reply.code) == (422, "invalid_request"), path
        for nobodys in (str(UUID(int=0)), "x"):
            reply = await ingress.client.get(f"/api/v1/payments/{nobodys}/{name}")
            assert (reply.status, reply.code) == (404, "payment_not_found")
