"""`payments dlq redrive`: by name or by filter, and what a dry run says is what would happen."""

import asyncio
import json
from functools import partial
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from payments.account import Account
from payments.commands import CreatePayment, ParkMessage
from payments.dead_letter import DeadLetterReason, SourceMessage
from payments.ids import dead_letter_id
from payments.outcome import Retriable
from payments.payment import Payment
from process.addresses import DatabaseAddress
from store.write.group_commit import GroupCommitter, Submission
from tests.support.api.stage import settle
from tests.support.factories import SOURCE, TENANT, open_account, pay, usd

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@pytest.fixture(autouse=True)
def environment(database: DatabaseAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds the test's database as an operator's shell would lead it there."""
    for name in ("host", "port", "user", "password", "database"):
        monkeypatch.setenv(f"PAYMENTS_DATABASE_{name.upper()}", str(getattr(database, name)))


async def dlq(*arguments: str) -> Result:
    """In a thread: the command has an event loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, main, ["dlq", *arguments])


async def redrive(*arguments: str) -> Result:
    return await dlq("redrive", "--reason", "mended", *arguments)


async def park(
    committer: GroupCommitter,
    name: str,
    stage: str,
    reason: DeadLetterReason,
    payment_id: UUID | None = None,
) -> str:
    letter_id = dead_letter_id(stage, name)
    command = ParkMessage(letter_id, TENANT, stage, reason, "no", SOURCE, payment_id)
    await committer.submit(Submission(command))
    return str(letter_id)


async def states(pool: Pool) -> dict[str, str]:
    return {str(row["id"]): row["state"] for row in await pool.fetch("SELECT * FROM dead_letters")}


async def test_what_is_parked_can_be_listed_and_shown(committer: GroupCommitter) -> None:
    """The list names it, and showing it shows the message as it came."""
    letter_id = await park(committer, "x", "charge", DeadLetterReason.UNDECODABLE)
    listed = await dlq("list", "--stage", "charge", "--json")
    assert json.loads(listed.output)["id"] == letter_id
    assert json.loads((await dlq("list", "--stage", "refund", "--json")).output or "null") is None
    shown = await dlq("show", letter_id)
    assert '{"payment_id": "x"}' in shown.output


async def test_what_a_message_says_commands_no_terminal(committer: GroupCommitter) -> None:
    """Neither its bytes nor why it was parked."""
    hostile = "\x1b[2J\x1b]0;all is well\x07"
    reason, letter_id = DeadLetterReason.UNDECODABLE, dead_letter_id("charge", "hostile")
    data = hostile.encode()
    source = SourceMessage("payments.charges", 0, 1, data, data, {})
    parked = ParkMessage(letter_id, TENANT, "charge", reason, f"no {hostile}", source)
    await committer.submit(Submission(parked))
    for words in (("list",), ("show", str(letter_id))):
        run = partial(CliRunner().invoke, main, ["dlq", *words], color=True)
        told = (await asyncio.to_thread(run)).output
        assert "\x1b" not in told, words


async def test_a_filter_redrives_what_it_finds_and_a_dry_run_nothing(
    pool: Pool, committer: GroupCommitter
) -> None:
    """Oldest first, only that stage's and that reason's, and the rehearsal tells the same."""
    bug = DeadLetterReason.HANDLER_ERROR
    first = await park(committer, "first", "charge", bug)
    second = await park(committer, "second", "charge", bug)
    others = [
        await park(committer, "third", "refund", bug),
        await park(committer, "fourth", "charge", DeadLetterReason.UNDECODABLE),
    ]
    filters = ("--stage", "charge", "--parked-for", "handler_error")
    rehearsed = await redrive(*filters, "--dry-run")
    assert rehearsed.exit_code == 0, rehearsed.output
    assert set((await states(pool)).values()) == {"parked"}
    done = await redrive(*filters)
    assert done.output == f"{first} is redriven.\n{second} is redriven.\n"
    assert rehearsed.output == f"{done.output}2 letters looked at, nothing changed.\n"
    assert await states(pool) == {
        **dict.fromkeys([first, second], "redriven"),
        **dict.fromkeys(others, "parked"),
    }


async def test_what_waits_behind_what_is_shown_and_leaves_with_it(
    pool: Pool, committer: GroupCommitter
) -> None:
    """Listed, it names the letter in its way; shown, that one names it; one redrive sends both."""
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    payment = (await committer.submit(Submission(pay(account.id)))).result
    assert isinstance(payment, Payment)
    strange, waits = DeadLetterReason.UNKNOWN_TYPE, DeadLetterReason.WAITS_BEHIND
    first = await park(committer, "first", "charge", strange, payment.id)
    second = await park(committer, "second", "charge", waits, payment.id)
    listed = [json.loads(each) for each in (await dlq("list", "--json")).output.splitlines()]
    assert {(each["id"], each["waits_behind"]) for each in listed} == {
        (first, None),
        (second, first),
    }
    shown = json.loads((await dlq("show", first, "--json")).output)
    assert (shown["queued_for"], shown["waiting"]) == (str(payment.id), [second])
    assert f"waiting          {second}" in (await dlq("show", first)).output
    refused = await redrive(second)
    assert refused.exit_code == 1
    assert f"it waits behind dead letter {first}" in refused.output
    assert (await redrive("--stage", "charge")).output == f"{first} is redriven.\n"
    assert set((await states(pool)).values()) == {"redriven"}


async def test_a_dry_run_foretells_a_refusal(pool: Pool, committer: GroupCommitter) -> None:
    """What cannot be tried again is said before anybody relies on it."""
    unreadable = await park(committer, "x", "charge", DeadLetterReason.UNDECODABLE)
    rehearsed = await redrive(unreadable, "--dry-run")
    assert rehearsed.exit_code == 1
    assert "cannot be redriven: its bytes cannot be read" in rehearsed.output
    assert await states(pool) == {unreadable: "parked"}


async def test_a_redrive_asks_what_the_provider_takes_and_a_dry_run_foretells_it(
    pool: Pool, committer: GroupCommitter
) -> None:
    """Of a payment accepted before there was a rule; a test token may be charged by anybody."""
    account = (await committer.submit(Submission(open_account()))).result
    assert isinstance(account, Account)
    small = await given_up(committer, pay(account.id, usd(40)))
    fine = await given_up(committer, pay(account.id))
    # As a release from before would have left it.
    named = """UPDATE payments SET metadata = '{"payment_method": "pm_card_visa"}'"""
    await pool.execute(f"{named} WHERE amount_minor > 40")
    for option in (("--dry-run",), ()):
        told = await redrive("--stage", "charge", *option)
        assert told.exit_code == 1
        assert "0.40 USD is not at least 0.50 USD, as Stripe wants it" in told.output
        assert f"{fine} is redriven." in told.output
    assert await states(pool) == {small: "parked", fine: "redriven"}


async def given_up(committer: GroupCommitter, command: CreatePayment) -> str:
    """The letter of a payment whose provider was never reached."""
    payment = (await committer.submit(Submission(command))).result
    assert isinstance(payment, Payment)
    for attempt in range(1, 6):
        payment = await settle(committer, str(payment.id), Retriable("503", "busy"), attempt)
    return str(dead_letter_id("charge", f"{payment.id}/5/retries_exhausted"))


async def test_a_limit_takes_the_oldest(pool: Pool, committer: GroupCommitter) -> None:
    """So that the next run goes on where this one ended."""
    letters = [
        await park(committer, str(number), "charge", DeadLetterReason.UNKNOWN_TYPE)
        for number in range(3)
    ]
    await redrive("--stage", "charge", "--limit", "1")
    assert (await states(pool))[letters[0]] == "redriven"
    assert list((await states(pool)).values()).count("parked") == 2


@pytest.mark.parametrize("arguments", [(), ("--stage", "charge", str(dead_letter_id("a", "b")))])
async def test_letters_are_named_or_filtered_never_guessed(arguments: tuple[str, ...]) -> None:
    """Neither is a mistake that would redrive everything; both say two things at once."""
    result = await redrive(*arguments)
    assert result.exit_code == 2
    assert "Name letters, or filter them" in result.output
