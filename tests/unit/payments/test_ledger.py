"""The ledger's laws: every transfer is balanced, a hold is resolved once and wholly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from payments import ledger
from payments.account import Account, AccountStatus, clearing, world
from payments.ledger import Entry, Hold, Moved, TransactionType, TransferState
from payments.record import replace

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORLD = world("t", "USD")
CLEARING = clearing("t", "stripe", "USD")
amounts = st.integers(1, 10**15)


def account(number: int, balance: int = 0, held: int = 0) -> Account:
    return Account(
        id=UUID(int=number),
        tenant_id="t",
        user_id="u",
        currency="USD",
        status=AccountStatus.ACTIVE,
        debits_posted=0,
        credits_posted=balance,
        debits_pending=held,
        credits_pending=0,
        version=1,
        created_at=NOW,
        updated_at=NOW,
    )


def entry(amount_minor: int, number: int = 1) -> Entry:
    return Entry(UUID(int=number), amount_minor, TransactionType.PAYMENT, NOW)


def only(moved: Moved) -> Account:
    (one,) = moved.accounts
    return one


@given(amounts, amounts)
def test_a_transfer_conserves_money(balance: int, amount: int) -> None:
    """What one account loses the other gains, and nothing is held."""
    assume(amount <= balance)
    before = account(1, balance), account(2)
    moved = ledger.transfer(*before, entry(amount))
    debtor, creditor = moved.accounts
    assert (debtor.balance, creditor.balance) == (balance - amount, amount)
    assert debtor.debits_pending == creditor.credits_pending == 0
    assert (debtor.version, creditor.version) == (2, 2)
    assert moved.transfer.debit_balance_after == debtor.balance
    assert moved.transfer.credit_balance_after == creditor.balance


@given(amounts, amounts)
def test_a_hold_takes_what_is_available_and_leaves_the_balance(balance: int, amount: int) -> None:
    """Reserved money cannot be spent, but is still the customer's."""
    assume(amount <= balance)
    held = only(ledger.reserve(account(1, balance), CLEARING, entry(amount)))
    assert (held.balance, held.available) == (balance, balance - amount)


@given(amounts, amounts, amounts)
def test_posting_moves_a_part_and_releases_the_rest(balance: int, amount: int, part: int) -> None:
    """After a partial post nothing is held and only the part is gone."""
    assume(part <= amount <= balance)
    held = only(ledger.reserve(account(1, balance), CLEARING, entry(amount)))
    moved = ledger.post(Hold(UUID(int=1), amount), held, CLEARING, entry(part, 2))
    after = only(moved)
    assert (after.balance, after.available) == (balance - part, balance - part)
    row = moved.transfer
    assert (row.state, row.entry.amount_minor) == (TransferState.POSTED, part)
    assert (row.releases_minor, row.pending_id) == (amount, UUID(int=1))


@given(amounts, amounts)
def test_voiding_gives_everything_back(balance: int, amount: int) -> None:
    """A voided hold leaves the account as if it had never been, but for its version."""
    assume(amount <= balance)
    before = account(1, balance)
    held = only(ledger.reserve(before, CLEARING, entry(amount)))
    moved = ledger.void(Hold(UUID(int=1), amount), held, CLEARING, entry(amount, 2))
    after = only(moved)
    assert after == replace(before, version=3, updated_at=after.updated_at)
    assert moved.transfer.state is TransferState.VOIDED


def test_a_system_account_keeps_no_totals() -> None:
    """Only the customer's side is an account to update, and only it has a balance after."""
    moved = ledger.transfer(WORLD, account(1), entry(5))
    assert [each.id for each in moved.accounts] == [UUID(int=1)]
    assert moved.transfer.debit_balance_after is None
    assert moved.transfer.credit_balance_after == 5


@pytest.mark.parametrize(
    ("balance", "held", "amount"), [(0, 0, 1), (10, 0, 11), (10, 5, 6), (10, 10, 1)]
)
def test_what_is_not_available_cannot_be_moved_or_held(
    balance: int, held: int, amount: int
) -> None:
    """Money that is not there or is held already is an error of the caller."""
    poor = account(1, balance, held)
    with pytest.raises(AssertionError, match="overdrawn"):
        ledger.transfer(poor, account(2), entry(amount))
    with pytest.raises(AssertionError, match="overdrawn"):
        ledger.reserve(poor, CLEARING, entry(amount))


def test_a_hold_cannot_be_resolved_for_more_than_it_is() -> None:
    """Neither posting more than was held nor voiding a part of it is possible."""
    held = only(ledger.reserve(account(1, 100), CLEARING, entry(50)))
    hold = Hold(UUID(int=1), 50)
    with pytest.raises(AssertionError, match="cannot post more"):
        ledger.post(hold, held, CLEARING, entry(51, 2))
    with pytest.raises(AssertionError, match="whole hold"):
        ledger.void(hold, held, CLEARING, entry(49, 2))
    released = only(ledger.void(hold, held, CLEARING, entry(50, 2)))
    with pytest.raises(AssertionError, match="more released than was held"):
        ledger.void(hold, released, CLEARING, entry(50, 3))


@pytest.mark.parametrize("amount", [0, -1])
def test_a_transfer_moves_a_positive_amount(amount: int) -> None:
    """Nothing and less than nothing are no transfers."""
    with pytest.raises(AssertionError, match="positive"):
        ledger.transfer(WORLD, account(1, 10), entry(amount))


def test_a_transfer_has_one_currency_and_two_sides() -> None:
    """Money never changes its currency on the way, and never moves in place."""
    with pytest.raises(AssertionError, match="one currency"):
        ledger.transfer(world("t", "EUR"), account(1), entry(1))
    with pytest.raises(AssertionError, match="two sides"):
        ledger.transfer(account(1, 10), account(1, 10), entry(1))


def test_no_row_is_dated_before_what_its_account_has() -> None:
    """Whichever host's clock is behind: each row is later than the one before it."""
    ahead = replace(account(1, 100), updated_at=NOW + timedelta(seconds=2))
    first = ledger.transfer(ahead, account(2), entry(10))
    second = ledger.transfer(only_debtor(first), WORLD, entry(10, 2))
    entries = [each.transfer.entry for each in (first, second)]
    assert ahead.updated_at < entries[0].recorded_at < entries[1].recorded_at
    assert entries[0].id < entries[1].id
    assert only(second).updated_at == entries[1].recorded_at


def only_debtor(moved: Moved) -> Account:
    debtor, _ = moved.accounts
    return debtor
