"""`payments dlq`: dead letters, shown, tried again or closed, straight from the database.

It needs no ingress: when everything else is down, an operator can still see what is parked.
Who resolves a letter is recorded with it.
"""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Final
from uuid import UUID

import click
from rich.console import Console
from rich.table import Table

from cli.operator import context, database, submitted, told
from cli.shown import plain, shown
from cli.signing import Signer, signed
from payments.commands import DiscardDeadLetter, RedriveDeadLetter
from payments.dead_letter import DeadLetter, DeadLetterReason, DeadLetterState
from payments.decision import Result
from store.read.dead_letters import (
    DeadLetterFilters,
    dead_letter_by_id,
    dead_letters_page,
    letters_behind,
    tenants_of_letters,
)
from store.read.found import first_of, pages_of
from store.write.commit import rehearsed
from store.write.group_commit import Submission
from topics.contracts.payloads import DeadLetterData

_ANY_TENANT: Final = None
# What a person reads of a message; all of it is in --json.
_SHOWN_BYTES: Final = 2000


@click.group("dlq")
def dlq() -> None:
    """Look at dead letters, try them again, or close them."""


@dlq.command("list")
@click.option(
    "--state",
    type=click.Choice([*(state.value for state in DeadLetterState), "any"]),
    default=DeadLetterState.PARKED.value,
    help="Only those in this state (parked).",
)
@click.option("--stage", help="Only this stage's.")
@click.option("--reason", type=click.Choice([reason.value for reason in DeadLetterReason]))
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="At most so many (50).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a letter.")
def list_letters(
    *, state: str, stage: str | None, reason: str | None, limit: int, as_json: bool
) -> None:
    """List dead letters, the newest failure first."""
    filters = DeadLetterFilters(
        state=None if state == "any" else DeadLetterState(state),
        stage=stage,
        reason=DeadLetterReason(reason) if reason else None,
    )
    letters = asyncio.run(_page(filters, limit))
    if as_json:
        for letter in letters:
            click.echo(DeadLetterData.of(letter).model_dump_json())
        return
    table = Table("id", "last failed", "stage", "reason", "state", "payment", "behind", "error")
    for letter in letters:
        table.add_row(
            str(letter.id),
            f"{letter.last_failed_at:%Y-%m-%d %H:%M:%S}",
            shown(letter.stage),
            letter.reason.value,
            letter.state.value,
            str(letter.payment_id or letter.queued_for or "-"),
            str(letter.waits_behind or "-"),
            shown(letter.error),
        )
    Console().print(table)


@dlq.command("show")
@click.argument("letter_id", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, bytes in base64.")
def show(*, letter_id: UUID, as_json: bool) -> None:
    """Show one letter with the message as it came."""
    letter, waiting = asyncio.run(_letter(letter_id))
    if letter is None:
        raise click.ClickException(f"there is no dead letter {letter_id}")
    data = {**DeadLetterData.of(letter).model_dump(mode="json"), "waiting": [*map(str, waiting)]}
    if as_json:
        click.echo(json.dumps(data))
        return
    for name, value in data.items():
        if not name.endswith("_base64"):
            said = (", ".join(value) or None) if isinstance(value, list) else value
            click.echo(f"{name:16} {plain(str(said)) if said is not None else '-'}")
    click.echo(f"{'key':16} {_readable(letter.source.key)}")
    click.echo(f"{'value':16} {_readable(letter.source.value)}")


@dlq.command("redrive")
@click.argument("letter_ids", type=click.UUID, nargs=-1)
@click.option("--stage", help="All that this stage parked.")
@click.option(
    "--parked-for",
    type=click.Choice([reason.value for reason in DeadLetterReason]),
    help="All that were parked for this.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=1000, help="Of these the first so many (1000)."
)
@click.option("--dry-run", is_flag=True, help="Say what would become of each; change nothing.")
@signed(must_say_why=True)
def redrive(
    *,
    letter_ids: Sequence[UUID],
    stage: str | None,
    parked_for: str | None,
    limit: int,
    dry_run: bool,
    signer: Signer,
) -> None:
    """Try again the letters named, or all that a filter finds, the oldest failure first."""
    if bool(letter_ids) == bool(stage or parked_for):
        raise click.UsageError("Name letters, or filter them by --stage or --parked-for.")
    if not letter_ids:
        filters = DeadLetterFilters(
            state=DeadLetterState.PARKED,
            stage=stage,
            reason=DeadLetterReason(parked_for) if parked_for else None,
        )
        letter_ids = asyncio.run(_oldest(filters, limit))
    commands = [
        RedriveDeadLetter(each, signer.actor, signer.reason, _ANY_TENANT) for each in letter_ids
    ]
    if not dry_run:
        _tell(asyncio.run(_submitted("redrive", commands, signer)))
        return
    _tell(asyncio.run(_rehearsed(commands)))
    click.echo(f"{len(commands)} letters looked at, nothing changed.")


@dlq.command("discard")
@click.argument("letter_ids", type=click.UUID, nargs=-1, required=True)
@signed(must_say_why=True)
def discard(*, letter_ids: Sequence[UUID], signer: Signer) -> None:
    """Close letters without trying again."""
    commands = [
        DiscardDeadLetter(each, signer.actor, signer.reason, _ANY_TENANT) for each in letter_ids
    ]
    _tell(asyncio.run(_submitted("discard", commands, signer)))


def _tell(outcomes: Sequence[Result | str]) -> None:
    """Every outcome, and one refusal makes the exit code 1."""
    refused = 0
    for outcome in outcomes:
        if isinstance(outcome, DeadLetter):
            click.echo(f"{outcome.id} is {outcome.state.value}.")
        else:
            refused += 1
            click.echo(outcome, err=True)
    if refused:
        raise SystemExit(1)


async def _submitted(
    verb: str, commands: Sequence[RedriveDeadLetter | DiscardDeadLetter], signer: Signer
) -> list[Result | str]:
    async with database("dlq") as pool:
        async with pool.acquire() as connection:
            tenants = await tenants_of_letters(connection, (each.letter_id for each in commands))
        submissions = []
        for command in commands:
            signature = signer.signature(
                f"{verb}_dead_letter",
                f"/api/v1/dead-letters/{command.letter_id}/{verb}",
                tenant_id=tenants.get(command.letter_id),
            )
            submissions.append(Submission(command, signature=signature))
        return await submitted(pool, submissions)


async def _rehearsed(commands: Sequence[RedriveDeadLetter]) -> list[Result | str]:
    """What would come of each by itself: decided and recorded like any other, then undone."""
    async with database("dlq") as pool, pool.acquire() as connection:
        present = context()
        return [told(await rehearsed(connection, command, present)) for command in commands]


async def _oldest(filters: DeadLetterFilters, limit: int) -> list[UUID]:
    """The letters in the order they failed, so that what happened first is tried first.

    Those that wait behind another are sent with that one.
    """
    newest_first: list[UUID] = []
    async with database("dlq") as pool, pool.acquire() as connection:
        async for letters in pages_of(partial(dead_letters_page, connection, _ANY_TENANT, filters)):
            newest_first += [letter.id for letter in letters if letter.waits_behind is None]
    return newest_first[::-1][:limit]


async def _page(filters: DeadLetterFilters, limit: int) -> list[DeadLetter]:
    async with database("dlq") as pool, pool.acquire() as connection:
        return await first_of(partial(dead_letters_page, connection, _ANY_TENANT, filters), limit)


async def _letter(letter_id: UUID) -> tuple[DeadLetter | None, list[UUID]]:
    """The letter, and those that wait behind it."""
    async with database("dlq") as pool, pool.acquire() as connection:
        letter = await dead_letter_by_id(connection, _ANY_TENANT, letter_id)
        return letter, await letters_behind(connection, letter) if letter else []


def _readable(data: bytes | None) -> str:
    if data is None:
        return "-"
    text = plain(data[:_SHOWN_BYTES].decode(errors="backslashreplace"), keep="\n\t")
    return text if len(data) <= _SHOWN_BYTES else f"{text} ... ({len(data)} bytes)"
