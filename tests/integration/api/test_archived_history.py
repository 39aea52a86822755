"""A payment whose history was archived says so, wherever it shows its history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from store.archive.archiving import Archive
from store.pool import long_reading
from tests.support.api.stage import settle, settle_refund
from tests.support.store.history import AS_IF_OVER

if TYPE_CHECKING:
    from pathlib import Path

    from process.addresses import DatabaseAddress
    from tests.support.api.ingress import Ingress

_LISTS: Final = ("attempts", "events")


async def test_what_was_archived_is_not_shown_as_nothing(
    ingress: Ingress, database: DatabaseAddress, tmp_path: Path
) -> None:
    """The payment stays; its lists are empty and say why, and go on with what comes later."""
    client = ingress.client
    payment = (await client.pay(await client.account())).text("id")
    await settle(ingress.committer, payment)
    path = f"/api/v1/payments/{payment}"
    before = (await client.get(f"{path}?expand=events")).json
    assert before["history_archived_at"] is None
    for name in _LISTS:
        assert (await client.get(f"{path}/{name}")).json["archived_at"] is None
    await ingress.pool.execute(AS_IF_OVER)
    async with long_reading(database, application_name="payments archive") as reading:
        later = datetime.now(UTC) + timedelta(days=100)
        await Archive(ingress.pool, reading, tmp_path).run(later, lambda _: None)
    shown = (await client.get(f"{path}?expand=events")).json
    when = shown["history_archived_at"]
    assert when is not None
    assert shown == before | {"history_archived_at": when, "attempts": [], "events": []}
    for name in _LISTS:
        reply = await client.get(f"{path}/{name}")
        assert (reply.status, reply.json["data"], reply.json["archived_at"]) == (200, [], when)
    refund = await client.post(f"{path}/refund", {"amount": "0.01"})
    await settle_refund(ingress.committer, refund.text("id"))
    for name in _LISTS:
        page = (await client.get(f"{path}/{name}")).json
        assert page["archived_at"] == when
        assert page["data"]
    last = (await client.get(f"{path}/events")).json["data"]
    assert isinstance(last, list)
    # It is whole, though what never changes was in the first.
    assert last[0]["data"]["payment"]["amount"] == before["amount"]
    assert last[0]["data"]["payment"]["created_at"] == before["created_at"]
