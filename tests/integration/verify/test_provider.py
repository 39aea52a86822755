"""What the provider's journal says is held against every payment."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import aiohttp
import pytest

from payments.outcome import Declined, Succeeded
from store.pool import long_reading
from tests.support.simulator.clients import card_charge, stripe_client
from tests.support.verify.world import World
from verify.database import ExpectedCharge, expected_charges
from verify.provider import (
    ProviderEffects,
    ProviderJournal,
    check_charges,
    disagreement,
    unexplained,
)

if TYPE_CHECKING:
    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter
    from tests.support.fixtures.simulator import SimulatorProcess
    from verify.invariants import CheckResult


def charge(  # noqa: PLR0913 - a row of the tables below
    status: str,
    captured: int = 0,
    refunded: int = 0,
    promised: int = 0,
    currency: str = "USD",
    *,
    disputed: int = 0,
    named: bool = False,
) -> ExpectedCharge:
    return ExpectedCharge(
        1,
        "stripe",
        status,
        currency,
        captured,
        refunded,
        promised,
        disputed_minor=disputed,
        is_named=named,
    )


def effects(
    charges: int = 0, charged: int = 0, refunded: int = 0, *, withdrawn: int = 0, held: int = 0
) -> ProviderEffects:
    return ProviderEffects("USD", charges, charged, refunded, withdrawn, held)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (charge("pending"), effects()),
        (charge("processing"), effects(1, 50)),
        (charge("unknown"), effects(1, 50)),
        (charge("completed", 50), effects(1, 50)),
        (charge("completed", 50, promised=20), effects(1, 50, 20)),
        (charge("completed", 50, promised=20), effects(1, 50)),
        (charge("partially_refunded", 50, 20), effects(1, 50, 20)),
        (charge("refunded", 50, 50), effects(1, 50, 50)),
        (charge("failed"), effects()),
        (charge("cancelled"), effects()),
        (charge("failed"), effects(1, 50, 50)),
    ],
)
def test_what_agrees_is_sound(ours: ExpectedCharge, theirs: ProviderEffects) -> None:
    """Charged once iff completed; what is open may go either way."""
    assert disagreement(ours, theirs) is None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (charge("processing"), effects(2, 100)),
        (charge("completed", 50), effects(2, 100)),
        (charge("completed", 50), effects()),
        (charge("completed", 50), effects(1, 49)),
        (charge("completed", 50), effects(1, 50, 1)),
        (charge("partially_refunded", 50, 20), effects(1, 50, 40)),
        (charge("refunded", 50, 50), effects(1, 50)),
        (charge("failed"), effects(1, 50)),
        (charge("cancelled"), effects(1, 50)),
        (charge("completed", 50, currency="EUR"), effects(1, 50)),
    ],
)
def test_what_contradicts_is_found(ours: ExpectedCharge, theirs: ProviderEffects) -> None:
    """Charged twice, for nothing, too little, in another currency; refunded too much or not."""
    assert disagreement(ours, theirs)


async def test_a_real_journal_is_compared_with_real_payments(
    committer: GroupCommitter, database: DatabaseAddress, own_simulator: SimulatorProcess
) -> None:
    """Sound; then charged for a payment that failed, and for one there is not."""
    world = World(committer)
    account = await world.account()
    completed = await world.payment(account, Succeeded("pi_1"))
    failed = await world.payment(account, Declined("no", "no"))
    stripe = stripe_client(own_simulator.url)
    stripe.v1.payment_intents.create(card_charge(str(completed), 5_000))
    assert (await _result(database, own_simulator)).holds
    stripe.v1.payment_intents.create(card_charge(str(failed), 5_000))
    stranger = uuid4()
    stripe.v1.payment_intents.create(card_charge(str(stranger), 5_000))
    found = await _result(database, own_simulator)
    assert {each.subject for each in found.violations} == {
        f"payment {failed}",
        f"payment {stranger}",
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (charge("authorized"), effects(held=50)),
        (charge("review"), effects(held=50)),
        (charge("completed", 50), effects(1, 50)),
        (charge("completed", 50, disputed=50), effects(1, 50, withdrawn=50)),
        (charge("partially_refunded", 50, 20, 10), effects(1, 50, 30)),
        (charge("completed", 50, named=True), effects(1, 50, held=50)),
        (charge("failed", named=True), effects(1, 50)),
    ],
)
def test_what_is_held_and_kept_for_a_reason_is_sound(
    ours: ExpectedCharge, theirs: ProviderEffects
) -> None:
    """The books have it, somebody works on it, or somebody has been told."""
    assert unexplained(ours, theirs) is None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (charge("cancelled"), effects(held=50)),
        (charge("completed", 40), effects(1, 40, held=10)),
        (charge("completed", 50), effects(1, 50, withdrawn=50)),
        (charge("completed", 50, disputed=50), effects(1, 50)),
        (charge("completed", 50), effects(1, 50, 20)),
        (charge("failed"), effects(1, 50)),
    ],
)
def test_what_is_held_or_kept_without_a_word_is_found(
    ours: ExpectedCharge, theirs: ProviderEffects
) -> None:
    """Captured, given back, disputed or held there, and nobody knows."""
    assert unexplained(ours, theirs)


async def _result(database: DatabaseAddress, simulator: SimulatorProcess) -> CheckResult:
    async with (
        long_reading(database, application_name="payments-verify") as connection,
        aiohttp.ClientSession() as http,
    ):
        known = await expected_charges(connection)
        journal = ProviderJournal(http, simulator.url)
        charged, _ = await check_charges(connection, journal, known)
        return charged
