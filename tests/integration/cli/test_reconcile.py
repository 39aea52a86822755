"""`payments reconcile` against what the simulator really did, and what our books say it did."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cli.__main__ import main
from payments.outcome import Declined, Succeeded
from payments.payment import Provider
from payments.reconciliation.differences import Kind
from providers.gateway import ChargeRequest
from providers.registry import NAMES
from providers.settlements import read_report
from simulator.faults import FaultKind, FaultSpec
from tests.support.agents.notifications import NO_ANSWER, Desk
from tests.support.factories import usd
from tests.support.providers.requests import new_id

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


DECLINED = Declined("card_declined", "no")
# So that what moves now is not within the margin of the period's ends.
NOW = datetime.now(UTC)
FROM, TO = (NOW - timedelta(hours=1)).isoformat(), (NOW + timedelta(hours=1)).isoformat()


async def reconcile(*arguments: str) -> Result:
    """In a thread: the command has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, main, ["reconcile", *arguments])


async def fetched(provider: Provider) -> Result:
    period = ("--from", FROM, "--to", TO)
    return await reconcile("--provider", provider, "--fetch", "--json", *period)


def breaks(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.output.splitlines()]


def types(result: Result) -> list[str]:
    return sorted(str(each["type"]) for each in breaks(result))


@pytest.mark.parametrize("provider", NAMES)
async def test_what_went_well_has_no_breaks(desk: Desk, provider: Provider) -> None:
    """Charges and refunds, as the provider names them and as we wrote them down."""
    claimed = await desk.claimed(provider)
    reference = await desk.charge(claimed)
    await desk.settle(claimed, Succeeded(reference))
    made = await desk.refund(claimed.payment.id, reference)
    declined = await desk.claimed(provider)
    await desk.settle(declined, DECLINED)
    result = await fetched(provider)
    assert (result.exit_code, result.output) == (0, "")
    url = f"{desk.provider_url}/_simulator/settlements"
    async with desk.session.get(url, params={"provider": provider}) as answer:
        report = read_report(await answer.text())
    assert {(line.kind, line.our_id, line.amount) for line in report} == {
        (Kind.CHARGE, claimed.payment.id, usd(5_000)),
        (Kind.REFUND, made.id, usd(2_000)),
    }


async def test_every_difference_is_found_and_listed(desk: Desk) -> None:
    """Charged and failed here; completed here and never charged; charged twice; not ours."""
    failed = await desk.claimed(Provider("stripe"))
    await desk.charge(failed)
    await desk.settle(failed, DECLINED)
    invented = await desk.claimed(Provider("stripe"))
    await desk.settle(invented, Succeeded("pi_invented"))
    twice = await desk.claimed(Provider("stripe"))
    await desk.settle(twice, Succeeded(await desk.charge(twice)))
    desk.simulator.exchange.faults.arm(FaultSpec(kind=FaultKind.IGNORE_KEY, times=1))
    await desk.charge(twice)
    foreign = ChargeRequest(payment_id=new_id(), idempotency_key="x", amount=usd(700))
    await desk.gateways["stripe"].charge(foreign)

    found = await fetched(Provider("stripe"))
    assert found.exit_code == 3
    assert {each["type"]: each["payment_id"] for each in breaks(found)} == {
        "status_differs": str(failed.payment.id),
        "missing_there": str(invented.payment.id),
        "duplicate_charge": str(twice.payment.id),
        "missing_here": str(foreign.payment_id),
    }
    assert types(await reconcile("list", "--json")) == types(found)
    (duplicate,) = breaks(await reconcile("list", "--type", "duplicate_charge", "--json"))
    assert (duplicate["here"], duplicate["there"]) == ("50.00 USD", "50.00 USD")
    assert breaks(await reconcile("list", "--provider", "paypal", "--json")) == []


async def test_a_break_goes_when_the_books_are_right_again(desk: Desk) -> None:
    """The payment whose answer was lost is settled, and the next run says so by itself."""
    claimed = await desk.claimed(Provider("paypal"))
    reference = await desk.charge(claimed)
    await desk.settle(claimed, NO_ANSWER)
    assert types(await fetched(Provider("paypal"))) == ["status_differs"]
    await desk.settle(claimed, Succeeded(reference))
    after = await fetched(Provider("paypal"))
    assert (after.exit_code, after.output) == (0, "")
    (gone,) = breaks(await reconcile("list", "--state", "any", "--json"))
    assert (gone["state"], gone["resolved_by"], gone["resolution"]) == (
        "resolved",
        None,
        "no longer in the report",
    )


async def test_a_break_that_was_signed_for_stays_resolved(desk: Desk) -> None:
    """With who and why; another run finds it and leaves it."""
    claimed = await desk.claimed(Provider("stripe"))
    await desk.settle(claimed, DECLINED)
    await desk.charge(claimed)
    (found,) = breaks(await fetched(Provider("stripe")))
    break_id = str(found["id"])
    signed = await reconcile("resolve", break_id, "--reason", "refunded by hand", "--actor", "ada")
    assert signed.output == f"{break_id} is resolved by ada.\n"
    again = await reconcile("resolve", break_id, "--reason", "me too", "--actor", "bob")
    assert again.output == signed.output
    assert (await fetched(Provider("stripe"))).exit_code == 0
    (kept,) = breaks(await reconcile("list", "--state", "resolved", "--json"))
    assert (kept["resolved_by"], kept["resolution"]) == ("ada", "refunded by hand")
    unknown = await reconcile("resolve", str(new_id()), "--reason", "x")
    assert (unknown.exit_code, "there is no break" in unknown.output) == (1, True)


async def test_a_report_may_be_a_file(desk: Desk, tmp_path: Path) -> None:
    """With its period; what lies outside it is not looked at."""
    header = "kind,reference,payment_id,refund_id,currency,amount,status,occurred_at\n"
    line = "charge,pi_{},,,USD,1.00,succeeded,{}\n"
    report = tmp_path / "report.csv"
    lines = (line.format(1, NOW.isoformat()), line.format(2, "2020-01-01T00:00:00Z"))
    report.write_text(header + "".join(lines))
    arguments = ("--provider", "stripe", "--report", str(report))
    result = await reconcile(*arguments, "--from", FROM, "--to", TO, "--json")
    assert [each["reference"] for each in breaks(result)] == ["pi_1"]
    assert (await reconcile(*arguments)).exit_code == 2, "a file does not say what it covers"
    report.write_text(header + "charge,pi_1,,,USD,one,succeeded,now\n")
    refused = await reconcile(*arguments, "--from", FROM, "--to", TO)
    assert refused.exit_code == 1
    assert "the report cannot be used: line 2: " in refused.output
    assert await desk.pool.fetchval("SELECT count(*) FROM reconciliation_breaks") == 1
