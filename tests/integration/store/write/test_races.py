"""Money under contention: committers race in Postgres, and each of them is told the truth."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from random import Random
from typing import TYPE_CHECKING

import pytest

from payments.commands import (
    CancelPayment,
    CapturePayment,
    ClaimPayment,
    ClaimRefund,
    RefundPayment,
    SettlePayment,
    SettleRefund,
)
from payments.decision import Claimed, RefusalCode, Refused
from payments.outcome import Operation, Succeeded
from payments.payment import CaptureMethod, Payment
from payments.refund import Refund
from tests.support.factories import SOURCE, TENANT, pay, transfer, usd
from tests.support.store.rivals import racing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from uuid import UUID

    from payments.commands import Command
    from payments.decision import Result
    from process.addresses import DatabaseAddress
    from telemetry.metrics import Metrics
    from tests.support.store.rivals import Rivals

_DONE = Succeeded("pi_1")


@pytest.fixture
async def rivals(database: DatabaseAddress, metrics: Metrics) -> AsyncIterator[Rivals]:
    """Four committers."""
    async with racing(database, metrics) as opened:
        yield opened


def codes(results: Sequence[Result | Refused]) -> Counter[str]:
    """How many were refused and why; the accepted count as such."""
    return Counter(each.code.value if isinstance(each, Refused) else "accepted" for each in results)


async def charged(rivals: Rivals, payment_id: UUID) -> None:
    """The stage's part, up to the provider's yes."""
    claim = await rivals.asked(ClaimPayment(payment_id, 1, "worker"))
    assert isinstance(claim, Claimed), claim
    operation = claim.attempt.operation
    done = SettlePayment(payment_id, claim.attempt.id, operation, _DONE, SOURCE)
    assert isinstance(await rivals.asked(done), Payment)


async def paid(
    rivals: Rivals, minor: int, method: CaptureMethod = CaptureMethod.AUTOMATIC
) -> Payment:
    """A payment of so many cents, taken or authorized, from an account of its own."""
    account = await rivals.account(usd(minor))
    payment = await rivals.asked(pay(account.id, usd(minor), capture_method=method))
    assert isinstance(payment, Payment)
    await charged(rivals, payment.id)
    return payment


async def test_a_hot_account_spends_what_it_has_and_no_more(rivals: Rivals) -> None:
    """Of sixty payments of 10 on a balance of 100, sent through four committers, ten are taken."""
    account = await rivals.account(usd(10_000))
    results = await rivals.raced([account], [pay(account.id, usd(1_000)) for _ in range(60)])
    assert codes(results) == {"accepted": 10, RefusalCode.INSUFFICIENT_FUNDS.value: 50}
    assert await rivals.balance(account) == (10_000, 10_000)
    await rivals.assert_fair()


async def test_transfers_in_every_direction_conserve_money(rivals: Rivals) -> None:
    """Between four accounts, each pair both ways, at once: every balance is what was moved."""
    accounts = [await rivals.account(usd(2_000)) for _ in range(4)]
    ways = [*permutations(accounts, 2)] * 20
    Random(7).shuffle(ways)
    amounts = [usd(10 + turn % 400) for turn in range(len(ways))]
    results = await rivals.raced(
        accounts,
        [transfer(a.id, b.id, amount) for (a, b), amount in zip(ways, amounts, strict=True)],
    )
    assert codes(results)["accepted"] > 100
    expected = Counter({each.id: 2_000 for each in accounts})
    for (source, destination), amount, result in zip(ways, amounts, results, strict=True):
        if isinstance(result, Payment):
            expected[source.id] -= amount.amount_minor
            expected[destination.id] += amount.amount_minor
        else:
            assert isinstance(result, Refused)
            assert result.code is RefusalCode.INSUFFICIENT_FUNDS
    for account in accounts:
        assert await rivals.balance(account) == (expected[account.id], 0)
    await rivals.assert_fair()


async def test_refunds_race_for_what_was_captured(rivals: Rivals) -> None:
    """Of forty refunds of 7 on a charge of 50, seven are accepted, and each is paid once."""
    payment = await paid(rivals, 5_000)
    results = await rivals.raced([payment], [RefundPayment(TENANT, payment.id, usd(700))] * 40)
    assert codes(results) == {"accepted": 7, RefusalCode.REFUND_EXCEEDS_PAYMENT.value: 33}
    refunds = [each for each in results if isinstance(each, Refund)]
    claims = [
        each
        for each in await rivals.raced(
            [payment], [ClaimRefund(each.id, 1, "w") for each in refunds * 4]
        )
        if isinstance(each, Claimed)
    ]
    assert {each.attempt.refund_id for each in claims} == {each.id for each in refunds}
    assert len(claims) == 7
    await rivals.raced(
        [payment],
        [
            SettleRefund(each.refund.id, each.attempt.id, _DONE, SOURCE)
            for each in claims * 4
            if each.refund
        ],
    )
    row = await rivals.pool.fetchrow("SELECT * FROM payments WHERE id = $1", payment.id)
    assert row is not None
    assert (row["refunded_minor"], row["refund_pending_minor"]) == (4_900, 0)
    returned = (
        "SELECT count(*), sum(amount_minor) FROM ledger_transfers WHERE refund_id IS NOT NULL"
    )
    assert tuple(await rivals.pool.fetchrow(returned) or ()) == (7, 4_900)
    await rivals.assert_fair()


async def test_refunds_of_transfers_race_for_what_was_moved_and_is_still_there(
    rivals: Rivals,
) -> None:
    """The receiver spends while the sender asks it back: what is gone is not given back."""
    sender, receiver = await rivals.account(usd(3_000)), await rivals.account(usd(0))
    moved = await rivals.asked(transfer(sender.id, receiver.id, usd(3_000)))
    assert isinstance(moved, Payment)
    mixed: list[Command] = [
        pay(receiver.id, usd(200)) if turn % 2 else RefundPayment(TENANT, moved.id, usd(200))
        for turn in range(60)
    ]
    results = await rivals.raced([receiver], mixed)
    payments = sum(isinstance(each, Payment) for each in results)
    refunds = sum(isinstance(each, Refund) for each in results)
    assert payments + refunds == 15
    assert await rivals.balance(receiver) == (3_000 - refunds * 200, payments * 200)
    assert await rivals.balance(sender) == (refunds * 200, 0)
    await rivals.assert_fair()


async def test_of_cancel_and_claim_one_wins(rivals: Rivals) -> None:
    """Twenty times both at once: a cancelled payment is never claimed, a claimed one kept."""
    account = await rivals.account(usd(10_000))
    asked = [await rivals.asked(pay(account.id, usd(100))) for _ in range(20)]
    payments = [each for each in asked if isinstance(each, Payment)]
    commands: list[Command] = []
    for turn, payment in enumerate(payments):
        both = (CancelPayment(TENANT, payment.id), ClaimPayment(payment.id, 1, "worker"))
        commands += both if turn % 3 else both[::-1]
    results = await rivals.raced(payments, commands)
    kept = 0
    for pair in zip(results[::2], results[1::2], strict=True):
        assert sum(isinstance(each, Payment | Claimed) for each in pair) == 1
        kept += sum(isinstance(each, Claimed) for each in pair)
    assert await rivals.balance(account) == (10_000, kept * 100)
    await rivals.assert_fair()


async def test_of_capture_and_cancel_one_wins(rivals: Rivals) -> None:
    """Of an authorized payment: the provider is owed the one or the other, asked for twice each."""
    payments = [await paid(rivals, 1_000, CaptureMethod.MANUAL) for _ in range(10)]
    commands: list[Command] = []
    for payment in payments:
        capture = CapturePayment(TENANT, payment.id, usd(400))
        commands += [capture, CancelPayment(TENANT, payment.id)] * 2
    results = await rivals.raced(payments, commands)
    for turn, payment in enumerate(payments):
        ours = results[turn * 4 : turn * 4 + 4]
        row = await rivals.pool.fetchrow("SELECT * FROM payments WHERE id = $1", payment.id)
        assert row is not None
        won = next(each for each in ours if isinstance(each, Payment))
        # To cancel again what is being cancelled changes nothing, and is no mistake.
        assert codes(ours)["accepted"] == (2 if won.operation is Operation.VOID else 1)
        assert (row["status"], row["operation"]) == (won.status, won.operation)
        assert won.operation in {Operation.CAPTURE, Operation.VOID}
    await rivals.assert_fair()


async def test_an_outcome_brought_by_many_counts_once(rivals: Rivals) -> None:
    """A worker given up for dead, its successor and a repeated call: one posting, one event."""
    account = await rivals.account(usd(1_000))
    payment = await rivals.asked(pay(account.id, usd(400)))
    assert isinstance(payment, Payment)
    claim = await rivals.asked(ClaimPayment(payment.id, 1, "worker"))
    assert isinstance(claim, Claimed)
    settle = SettlePayment(payment.id, claim.attempt.id, Operation.CHARGE, _DONE, SOURCE)
    assert codes(await rivals.raced([payment], [settle] * 12)) == {"accepted": 12}
    assert await rivals.balance(account) == (600, 0)
    events = "SELECT count(*) FROM payment_events WHERE type = 'payment.completed'"
    assert await rivals.pool.fetchval(events) == 1
    await rivals.assert_fair()
