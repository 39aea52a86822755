"""`payments resolve`: a payment or a refund by its id alone, signed, without an ingress."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from payments.account import Account
from payments.commands import RefundPayment
from payments.outcome import Unresolvable
from payments.payment import Payment
from payments.refund import Refund
from store.write.group_commit import Submission
from tests.support.api.stage import settle, settle_refund
from tests.support.factories import TENANT, open_account, pay, usd

if TYPE_CHECKING:
    import asyncpg

    from process.addresses import DatabaseAddress
    from store.write.group_commit import GroupCommitter

LOST = Unresolvable("key_window_passed", "nobody can tell")
FOUND = ("--outcome", "succeeded", "--amount", "50.00", "--reference", "pi_found")


@pytest.fixture(autouse=True)
def environment(database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the test's database as an operator's shell would lead it there."""
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"PAYMENTS_DATABASE_{name.upper()}", str(getattr(database, name)))


async def resolve(*arguments: object) -> Result:
    """In a thread: the command has an event loop of its own."""
    words = ["resolve", *map(str, arguments), "--reason", "seen", "--actor", "ann"]
    return await asyncio.to_thread(CliRunner().invoke, main, words)


async def paid(committer: GroupCommitter) -> Payment:
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    payment = (await committer.submit(Submission(pay(account.id)))).result
    assert isinstance(payment, Payment)
    return payment


async def reviewed(committer: GroupCommitter) -> uuid.UUID:
    payment = await paid(committer)
    await settle(committer, str(payment.id), LOST)
    return payment.id


async def test_a_payment_is_resolved_by_what_was_found(
    pool: asyncpg.Pool[asyncpg.Record], committer: GroupCommitter
) -> None:
    """Once; the second time it is one sentence and exit code 1."""
    payment = await reviewed(committer)
    done = await resolve(payment, *FOUND)
    assert (done.exit_code, done.output) == (0, f"{payment} is completed.\n")
    actions = await pool.fetch("SELECT action, actor, reason FROM operator_actions")
    assert [tuple(row) for row in actions] == [("resolve", "ann", "seen")]
    again = await resolve(payment, *FOUND)
    assert again.exit_code == 1
    assert "is completed: there is no doubt to resolve" in again.output


@pytest.mark.parametrize("words", [("--failed",), ("--outcome", "failed")])
async def test_a_payment_is_resolved_as_failed(
    committer: GroupCommitter, words: tuple[str, ...]
) -> None:
    """Said either way."""
    payment = await reviewed(committer)
    assert (await resolve(payment, *words)).output == f"{payment} is failed.\n"


async def test_a_refund_is_found_by_its_id(committer: GroupCommitter) -> None:
    """Nobody has to say which of the two it is."""
    payment = await paid(committer)
    await settle(committer, str(payment.id))
    asked = RefundPayment(TENANT, payment.id, usd(2_000))
    refund = (await committer.submit(Submission(asked))).result
    assert isinstance(refund, Refund)
    await settle_refund(committer, str(refund.id), LOST)
    wrong = await resolve(refund.id, *FOUND)
    assert wrong.exit_code == 1
    assert "20.00 USD was asked for" in wrong.output
    words = ("--outcome", "succeeded", "--amount", "20", "--reference", "re_found")
    assert (await resolve(refund.id, *words)).output == f"{refund.id} is completed.\n"


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--failed", *FOUND),
        ("--outcome", "succeeded"),
        ("--outcome", "succeeded", "--amount", "50.00"),
        ("--failed", "--amount", "50.00"),
        ("--failed", "--reference", ""),
        ("--outcome", "succeeded", "--amount", "50.001", "--reference", "pi_1"),
        ("--outcome", "succeeded", "--amount", "50.00", "--reference", "pi 1"),
    ],
)
async def test_half_a_verdict_is_none(committer: GroupCommitter, words: tuple[str, ...]) -> None:
    """A mistake in the words changes nothing."""
    payment = await reviewed(committer)
    assert (await resolve(payment, *words)).exit_code == 2
    assert (await resolve(payment, "--failed")).exit_code == 0


async def test_what_is_not_there_is_one_sentence(committer: GroupCommitter) -> None:
    """No trace of a stack, and exit code 1."""
    await paid(committer)
    nobody = uuid.uuid4()
    result = await resolve(nobody, "--failed")
    assert result.exit_code == 1
    assert result.output == f"Error: there is no payment and no refund {nobody}\n"
