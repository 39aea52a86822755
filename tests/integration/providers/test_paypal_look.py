"""How PayPal is asked for all there is of a payment, and what it costs when it does not tell."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from uuid import UUID

import pytest

from payments.money import Money
from payments.outcome import Retriable, Unknown
from payments.standing import DisputeKind, DisputeState, FoundCapture, FoundDispute, Standing
from providers.gateway import StandingQuery
from tests.support.providers import wire
from tests.support.providers.paypal import CAPTURE, USD, paypal_at, refusal, token

OURS = UUID("0198c0de-0000-7000-8000-000000000001")
_UNIT = {"custom_id": str(OURS), "payments": {"captures": [CAPTURE]}}
_ORDER = wire.reply(200, {"id": "O1", "status": "COMPLETED", "purchase_units": [_UNIT]})
_RELATED = {"supplementary_data": {"related_ids": {"order_id": "O1"}}}
_CAPTURE = wire.reply(200, CAPTURE | _RELATED)
_DISPUTE = {
    "dispute_id": "PP-D-7",
    "status": "OPEN",
    "dispute_amount": USD,
    "dispute_life_cycle_stage": "ARBITRATION",
    "disputed_transactions": [{"seller_transaction_id": "C1"}],
}
_NO_DISPUTES = wire.reply(200, {"links": []})
_STANDING = Standing(payment_id=OURS, captures=(FoundCapture("O1/capture/C1", Money(5000, "USD")),))


def disputes(*ids: str, following: str | None = None) -> wire.Behaviour:
    """One page of the list."""
    href = f"https://elsewhere.example/v1/customer/disputes?next_page_token={following}"
    links = [{"rel": "next", "href": href}] if following else []
    return wire.reply(200, {"items": [{"dispute_id": each} for each in ids], "links": links})


def found(reference: str) -> FoundDispute:
    amount = Money(5000, "USD")
    return FoundDispute(
        reference, DisputeKind.DISPUTE, amount, DisputeState.OPEN, is_withdrawn=True
    )


def targets(server: wire.Wire) -> list[str]:
    return [seen.target for seen in server.seen if seen.target != "/v1/oauth2/token"]


@pytest.mark.parametrize(
    ("reference", "on_the_way"),
    [
        ("O1/capture/C1", []),
        ("O1/authorization/A1", []),
        ("capture/C1", ["/v2/payments/captures/C1"]),
        ("dispute/PP-D-7", ["/v1/customer/disputes/PP-D-7", "/v2/payments/captures/C1"]),
    ],
)
async def test_a_payment_is_found_by_whatever_a_notification_names(
    reference: str, on_the_way: list[str]
) -> None:
    """A dispute leads to its capture, and a capture to its order; none is read twice."""
    routes: Mapping[str, wire.Behaviour] = {"PP-D-7": wire.reply(200, _DISPUTE)}
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), O1=_ORDER, C1=_CAPTURE, disputes=disputes("PP-D-7"), **routes)
        standing = await paypal.look(StandingQuery(provider_reference=reference))
    assert isinstance(standing, Standing)
    assert (standing.payment_id, standing.captures) == (OURS, _STANDING.captures)
    assert standing.disputes == (found("PP-D-7"),)
    paths = targets(server)
    assert paths[: len(on_the_way) + 1] == [*on_the_way, "/v2/checkout/orders/O1"]
    assert len(paths) == len(set(paths))


async def test_every_page_of_disputes_is_read_where_paypal_itself_is() -> None:
    """By the token alone: an address in an answer is not one to send our credentials to."""
    asked: list[str] = []

    async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(server.seen[-1].target.partition("?")[2])
        is_first = len(asked) == 1
        shown = disputes("PP-D-7", following="YQ==") if is_first else disputes("PP-D-8")
        await shown(reader, writer)

    routes = {
        each: wire.reply(200, _DISPUTE | {"dispute_id": each}) for each in ("PP-D-7", "PP-D-8")
    }
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(token=token(), O1=_ORDER, disputes=page, **routes)
        standing = await paypal.look(StandingQuery(provider_reference="O1/capture/C1"))
    assert isinstance(standing, Standing)
    assert standing.disputes == (found("PP-D-7"), found("PP-D-8"))
    first = "disputed_transaction_id=C1&page_size=50"
    assert asked == [first, f"{first}&next_page_token=YQ%3D%3D"]


async def test_a_list_that_does_not_end_is_no_answer() -> None:
    """Nor one that says that it goes on, but not how."""
    for following in ("YQ==", " "):
        async with wire.serving() as server, paypal_at(server.url) as paypal:
            endless = disputes(following=following)
            server.route(token=token(), O1=_ORDER, disputes=endless)
            answer = await paypal.look(StandingQuery(provider_reference="O1/capture/C1"))
        assert isinstance(answer, Unknown)


async def test_a_dispute_that_is_not_in_the_list_yet_is_there_all_the_same() -> None:
    """Whose notification came before PayPal's search knew of it."""
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(
            token=token(),
            O1=_ORDER,
            C1=_CAPTURE,
            disputes=_NO_DISPUTES,
            **{"PP-D-7": wire.reply(200, _DISPUTE)},
        )
        standing = await paypal.look(StandingQuery(provider_reference="dispute/PP-D-7"))
    assert isinstance(standing, Standing)
    assert standing.disputes == (found("PP-D-7"),)


@pytest.mark.parametrize(
    "query",
    [
        StandingQuery(payment_id=OURS),
        StandingQuery(provider_reference="pi_1"),
        StandingQuery(provider_reference="refund/R1"),
        StandingQuery(provider_reference="capture/"),
    ],
)
async def test_what_paypal_cannot_be_asked_for_is_not_asked_for(query: StandingQuery) -> None:
    """Orders cannot be searched: without PayPal's own id there is nothing to be learnt."""
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        answer = await paypal.look(query)
    assert isinstance(answer, Unknown)
    assert answer.code == "inquiry_inconclusive"
    assert not server.seen


@pytest.mark.parametrize("broken", ["C1", "O1", "disputes", "PP-D-8"])
@pytest.mark.parametrize(
    "behaviour",
    [
        wire.close,
        wire.reply(500, {}),
        wire.reply(404, {}),
        wire.reply(403, {}),
        wire.reply(200, b"<html>"),
        refusal(422, "NO"),
    ],
)
async def test_whatever_cannot_be_read_there_is_no_standing_without_it(
    broken: str, behaviour: wire.Behaviour
) -> None:
    """Part of the truth would have the books follow what is not so."""
    routes = {
        "token": token(),
        "O1": _ORDER,
        "C1": _CAPTURE,
        "disputes": disputes("PP-D-7", "PP-D-8"),
        "PP-D-7": wire.reply(200, _DISPUTE),
        "PP-D-8": wire.reply(200, _DISPUTE | {"dispute_id": "PP-D-8"}),
    }
    async with wire.serving() as server, paypal_at(server.url) as paypal:
        server.route(**(routes | {broken: behaviour}))
        answer = await paypal.look(StandingQuery(provider_reference="capture/C1"))
    assert isinstance(answer, Retriable | Unknown)
