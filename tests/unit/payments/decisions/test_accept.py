"""What is accepted and what is refused, and that a refusal says the first thing wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from payments.account import CHANGES_MAX, Account, AccountStatus
from payments.commands import RefundPayment
from payments.decision import Decision, RefusalCode, Refused
from payments.events import AccountEventType
from payments.money import AMOUNT_MINOR_MAX, Money
from payments.payment import Payment, PaymentStatus
from payments.record import replace
from tests.support.factories import NOWHERE, TENANT, open_account, pay, transfer, usd
from tests.support.payments.desk import Desk, granted

if TYPE_CHECKING:
    from payments.commands import CreatePayment


def refusal(desk: Desk, command: CreatePayment) -> RefusalCode:
    outcome = desk.ask(command)
    assert isinstance(outcome, Refused), outcome
    return outcome.code


def test_an_opening_balance_comes_from_the_world() -> None:
    """Money enters by a transfer, and the account's first version has it already."""
    desk = Desk()
    account = desk.open_account(usd(100_000))
    (decision,) = desk.decided
    assert (account.balance, account.version) == (100_000, 1)
    (opening,) = decision.transfers
    assert opening.debit_account_id == decision.system_accounts[0].id
    assert [each.type for each in decision.account_events] == [AccountEventType.CREATED]


def test_an_account_may_open_empty() -> None:
    """A zero balance moves nothing."""
    desk = Desk()
    assert desk.open_account(usd(0)).balance == 0
    assert desk.decided[0].transfers == ()


def test_a_payment_of_all_that_is_available_is_accepted_once() -> None:
    """The whole balance can be held, and then nothing is left to hold."""
    desk = Desk()
    payer = desk.open_account(usd(5_000))
    assert isinstance(desk.ask(pay(payer.id, usd(5_000))), Decision)
    assert refusal(desk, pay(payer.id, usd(1))) is RefusalCode.INSUFFICIENT_FUNDS


def test_held_money_cannot_be_transferred_either() -> None:
    """A hold counts against internal transfers too."""
    desk = Desk()
    payer, payee = desk.open_account(usd(5_000)), desk.open_account()
    granted(desk.ask(pay(payer.id, usd(4_000))))
    assert refusal(desk, transfer(payer.id, payee.id, usd(1_001))) is RefusalCode.INSUFFICIENT_FUNDS


def test_a_transfer_is_complete_when_it_is_answered() -> None:
    """It moves at once, is wholly captured, and owes nobody anything."""
    desk = Desk()
    payer, payee = desk.open_account(), desk.open_account(usd(0))
    payment = granted(desk.ask(transfer(payer.id, payee.id, usd(100)))).result
    assert isinstance(payment, Payment)
    assert (payment.status, payment.captured_minor) == (PaymentStatus.COMPLETED, 100)
    assert payment.progress.due_at is None
    assert desk.working.accounts[payee.id].available == 100


@pytest.mark.parametrize("minor", [1, 10**9])
def test_a_refusal_names_the_first_thing_wrong(minor: int) -> None:
    """Whether there is money enough never hides that an account or a currency is wrong."""
    desk = Desk()
    payer = desk.open_account()
    frozen, euros = desk.open_account(), desk.open_account(Money(100, "EUR"))
    desk.working.accounts[frozen.id] = replace(frozen, status=AccountStatus.FROZEN)
    wrong = [
        (pay(NOWHERE, usd(minor)), RefusalCode.ACCOUNT_NOT_FOUND),
        (pay(payer.id, usd(minor), tenant_id="another"), RefusalCode.ACCOUNT_NOT_FOUND),
        (pay(frozen.id, usd(minor)), RefusalCode.ACCOUNT_NOT_ACTIVE),
        (pay(euros.id, usd(minor)), RefusalCode.CURRENCY_MISMATCH),
        (transfer(payer.id, NOWHERE, usd(minor)), RefusalCode.ACCOUNT_NOT_FOUND),
        (transfer(payer.id, payer.id, usd(minor)), RefusalCode.SAME_ACCOUNT),
        (transfer(payer.id, frozen.id, usd(minor)), RefusalCode.ACCOUNT_NOT_ACTIVE),
        (transfer(payer.id, euros.id, usd(minor)), RefusalCode.CURRENCY_MISMATCH),
    ]
    assert [(command, refusal(desk, command)) for command, _ in wrong] == wrong


def test_an_account_moves_no_more_than_a_column_holds() -> None:
    """The largest amount back and forth: refused in time, and all of it could still be refunded."""
    desk = Desk()
    largest = Money(AMOUNT_MINOR_MAX, "USD")
    here, there = desk.open_account(largest), desk.open_account(usd(0))
    moved: list[Payment] = []
    for _ in range(2**63 // AMOUNT_MINOR_MAX):
        outcome = desk.ask(transfer(here.id, there.id, largest))
        if isinstance(outcome, Refused):
            assert outcome.code is RefusalCode.ACCOUNT_TURNOVER_EXCEEDED
            break
        assert isinstance(outcome.result, Payment)
        moved.append(outcome.result)
        here, there = there, here
    assert 1_000 < len(moved) < 2_001
    for payment in reversed(moved):
        granted(desk.ask(RefundPayment(TENANT, payment.id, None)))
    for account in desk.working.accounts.values():
        assert account.debits_posted <= account.credits_posted < 2**63


def test_an_account_changes_no_more_often_than_its_version_counts() -> None:
    """On either side it takes no new payment, and what it took is still given back."""
    desk = Desk()
    here, there = desk.open_account(), desk.open_account()
    payment = granted(desk.ask(transfer(here.id, there.id, usd(2)))).result
    assert isinstance(payment, Payment)
    for each in (here, there):
        account = desk.working.accounts[each.id]
        desk.working.accounts[each.id] = replace(account, version=CHANGES_MAX)
        new = desk.open_account()
        for command in (transfer(each.id, new.id, usd(1)), transfer(new.id, each.id, usd(1))):
            assert refusal(desk, command) is RefusalCode.ACCOUNT_TURNOVER_EXCEEDED
        assert refusal(desk, pay(here.id, usd(1))) is RefusalCode.ACCOUNT_TURNOVER_EXCEEDED
    granted(desk.ask(RefundPayment(TENANT, payment.id, None)))


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (None, Decision),
        (frozenset({1}), Decision),
        (frozenset({7, 1}), Decision),
        (frozenset({2}), Refused),
        (frozenset[int](), Refused),
    ],
)
def test_a_payer_may_name_the_versions_it_saw(
    versions: frozenset[int] | None, expected: type
) -> None:
    """Only an account at one of them is debited; the refusal brings the account as it is."""
    desk = Desk()
    payer, payee = desk.open_account(), desk.open_account()
    for command in (pay(payer.id, usd(1)), transfer(payer.id, payee.id, usd(1))):
        desk.working.accounts[payer.id] = payer
        outcome = desk.ask(replace(command, source_versions=versions))
        assert type(outcome) is expected
        if isinstance(outcome, Refused):
            assert outcome.code is RefusalCode.PRECONDITION_FAILED
            assert (outcome.present, outcome.is_conditional) == (payer, True)


def test_a_version_is_used_up_by_the_payment_that_names_it() -> None:
    """Of two payments that saw the same account, the second is told that it changed."""
    desk = Desk()
    payer = desk.open_account()
    command = replace(pay(payer.id, usd(1)), source_versions=frozenset({payer.version}))
    granted(desk.ask(command))
    assert refusal(desk, command) is RefusalCode.PRECONDITION_FAILED
    again = replace(command, source_versions=frozenset({payer.version + 1}))
    assert isinstance(desk.ask(again), Decision)


def test_another_version_explains_every_later_refusal() -> None:
    """Who saw an old account learns that first; who names none that exists, that it is not there.

    Its currency never changes, but its state and its money do.
    """
    desk = Desk()
    payer = desk.open_account(usd(10))
    stale = frozenset({payer.version + 5})
    assert (
        refusal(desk, replace(pay(payer.id, usd(11)), source_versions=stale))
        is RefusalCode.PRECONDITION_FAILED
    )
    desk.working.accounts[payer.id] = replace(payer, status=AccountStatus.FROZEN)
    assert (
        refusal(desk, replace(pay(payer.id, usd(1)), source_versions=stale))
        is RefusalCode.PRECONDITION_FAILED
    )
    assert (
        refusal(desk, replace(pay(NOWHERE, usd(1)), source_versions=stale))
        is RefusalCode.ACCOUNT_NOT_FOUND
    )


def test_a_refusal_changes_nothing() -> None:
    """After a no the books are as before."""
    desk = Desk()
    payer = desk.open_account(usd(10))
    before = dict(desk.working.accounts)
    refusal(desk, pay(payer.id, usd(11)))
    assert desk.working.accounts == before
    assert len(desk.decided) == 1


def test_tenants_do_not_see_each_other() -> None:
    """An account of one tenant does not exist for another."""
    desk = Desk()
    foreign = granted(desk.ask(open_account(tenant_id="other"))).result
    assert isinstance(foreign, Account)
    own = desk.open_account()
    assert refusal(desk, transfer(own.id, foreign.id)) is RefusalCode.ACCOUNT_NOT_FOUND


def test_no_refund_moves_money_through_an_account_that_is_not_active() -> None:
    """Frozen, neither the giver gives nor the receiver receives."""
    for frozen in (0, 1):
        desk = Desk()
        accounts = desk.open_account(usd(100)), desk.open_account(usd(0))
        payment = granted(desk.ask(transfer(accounts[0].id, accounts[1].id, usd(100)))).result
        assert isinstance(payment, Payment)
        account = desk.working.accounts[accounts[frozen].id]
        desk.working.accounts[account.id] = replace(account, status=AccountStatus.FROZEN)
        outcome = desk.ask(RefundPayment(TENANT, payment.id, None))
        assert isinstance(outcome, Refused)
        assert outcome.code is RefusalCode.ACCOUNT_NOT_ACTIVE
