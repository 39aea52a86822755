"""Reconciliation breaks over HTTP: by page and filter, with an age, for operators of the tenant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from payments.payment import Provider
from payments.reconciliation.differences import Break, BreakType, Kind, Period
from store.write.reconciliation import keep_run, resolve_break
from tests.support.api.ingress import ALL_SCOPES, Ingress
from tests.support.factories import usd

if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = "/api/v1/reconciliation/breaks"
NOW = datetime.now(UTC)


def a_break(age_h: int, kind: BreakType, tenant_id: str | None = "default") -> Break:
    occurred_at = NOW - timedelta(hours=age_h)
    return Break(
        id=uuid4(),
        tenant_id=tenant_id,
        provider=Provider("stripe"),
        type=kind,
        kind=Kind.CHARGE,
        payment_id=uuid4(),
        refund_id=None,
        reference="pi_1",
        here=None if kind is BreakType.MISSING_HERE else usd(5_000),
        there=usd(4_000),
        status_here=None if kind is BreakType.MISSING_HERE else "completed",
        status_there="succeeded",
        began_at=occurred_at,
        occurred_at=occurred_at,
    )


async def keep(ingress: Ingress, breaks: Sequence[Break]) -> None:
    async with ingress.pool.acquire() as connection:
        await keep_run(connection, Provider("stripe"), Period(NOW, NOW), breaks, NOW)


async def listed(ingress: Ingress, query: str = "") -> list[dict[str, object]]:
    data = (await ingress.client.get(f"{PATH}?{query}")).json["data"]
    assert isinstance(data, list)
    return data


async def test_a_break_is_shown_with_both_sides_and_its_age(ingress: Ingress) -> None:
    """Amounts as everywhere, and since when the money differs."""
    differs = a_break(2, BreakType.AMOUNT_DIFFERS)
    await keep(ingress, [differs])
    (shown,) = await listed(ingress)
    assert (shown["id"], shown["payment_id"]) == (str(differs.id), str(differs.payment_id))
    assert shown["here"] == {
        "amount": "50.00",
        "amount_minor": 5000,
        "currency": "USD",
        "status": "completed",
    }
    assert isinstance(shown["there"], dict)
    assert shown["there"]["amount"] == "40.00"
    assert isinstance(shown["age_seconds"], int)
    assert shown["age_seconds"] >= 7200
    assert (shown["state"], shown["resolved_by"]) == ("open", None)


async def test_breaks_are_listed_in_pages_and_by_filter(ingress: Ingress) -> None:
    """The newest difference first; state, provider and type narrow the list."""
    breaks = [a_break(age, BreakType.MISSING_HERE, None) for age in range(1, 4)]
    breaks.append(a_break(4, BreakType.AMOUNT_DIFFERS))
    await keep(ingress, breaks)
    async with ingress.pool.acquire() as connection:
        await resolve_break(connection, breaks[0].id, "ada", "a test charge", NOW)
    first = (await ingress.client.get(f"{PATH}?limit=3")).json
    second = await listed(ingress, f"limit=3&cursor={first['next_cursor']}")
    assert isinstance(first["data"], list)
    ids = [each["id"] for each in (*first["data"], *second)]
    assert ids == [str(each.id) for each in breaks]
    for query, expected in (
        ("state=resolved", breaks[:1]),
        ("type=amount_differs&state=open", breaks[3:]),
        ("provider=paypal", []),
    ):
        assert [each["id"] for each in await listed(ingress, query)] == [
            str(each.id) for each in expected
        ], query
    assert (await ingress.client.get(f"{PATH}?state=lost")).status == 422


async def test_breaks_are_for_operators_of_their_tenant(guarded: Ingress) -> None:
    """Another scope is refused, and another tenant sees its own."""
    await keep(guarded, [a_break(1, BreakType.AMOUNT_DIFFERS, "acme")])
    others = [scope for scope in ALL_SCOPES if scope != "ops"]
    refused = await guarded.tenant("acme", *others)
    assert (await refused.get(PATH)).status == 403
    for tenant, count in (("acme", 1), ("rival", 0)):
        data = (await (await guarded.tenant(tenant)).get(PATH)).json["data"]
        assert isinstance(data, list)
        assert len(data) == count
