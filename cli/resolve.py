"""`payments resolve`: an operator says what became of a payment or a refund nobody was sure of.

It needs no ingress, and asks for what was found at the provider: nothing is taken for granted.
Who resolved it, and why, is recorded with it.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import click

from cli.operator import actor, database, submitted
from payments.commands import Command
from payments.decision import Result
from payments.money import AmountError, parse_amount
from payments.payment import Payment
from payments.refund import Refund
from payments.resolution import (
    REFERENCE,
    Captured,
    DidNotHappen,
    Happened,
    ResolvePayment,
    ResolveRefund,
)
from store.read.subjects import Subject, subject_by_id


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read in the provider's books, and who says so; no amount: nothing was done."""

    kind: type[Happened | Captured]
    amount: str | None
    reference: str | None
    actor: str
    reason: str


@click.command("resolve")
@click.argument("subject_id", metavar="PAYMENT_OR_REFUND_ID", type=click.UUID)
@click.option(
    "--outcome", type=click.Choice(["succeeded", "captured", "failed"]), help="What was found."
)
@click.option("--failed", is_flag=True, help="The same as --outcome failed.")
@click.option("--amount", help="How much the provider took, or gave back.")
@click.option("--reference", help="The provider's own name for it.")
@click.option("--reason", required=True, help="Why; kept with it.")
@click.option("--actor", "by", default=actor)
def resolve(  # noqa: PLR0913 - one parameter an option
    *,
    subject_id: UUID,
    outcome: str | None,
    failed: bool,
    amount: str | None,
    reference: str | None,
    reason: str,
    by: str,
) -> None:
    """End the doubt about a payment or refund in unknown or review, by what was found."""
    has_effect = outcome in {"succeeded", "captured"}
    if has_effect == (failed or outcome == "failed"):
        raise click.UsageError(
            "Say what was found: --outcome succeeded, --outcome captured or --failed."
        )
    if (amount is not None, reference is not None) != (has_effect, has_effect):
        raise click.UsageError("What succeeded has an --amount and a --reference, nothing else.")
    kind = Captured if outcome == "captured" else Happened
    told = asyncio.run(_resolved(subject_id, _Found(kind, amount, reference, by, reason)))
    if not isinstance(told, Payment | Refund):
        raise click.ClickException(str(told))
    click.echo(f"{told.id} is {told.status.value}.")


async def _resolved(subject_id: UUID, found: _Found) -> Result | str:
    async with database("resolve") as pool:
        async with pool.acquire() as connection:
            subject = await subject_by_id(connection, subject_id)
        if subject is None:
            return f"there is no payment and no refund {subject_id}"
        (told,) = await submitted(pool, [_command(subject_id, subject, found)])
        return told


def _command(subject_id: UUID, subject: Subject, found: _Found) -> Command:
    resolving = ResolveRefund if subject.is_refund else ResolvePayment
    if found.amount is None or found.reference is None:
        return resolving(subject_id, found.actor, found.reason, DidNotHappen())
    if not REFERENCE.fullmatch(found.reference):
        message = "must be 1 to 255 visible ASCII characters"
        raise click.BadParameter(message, param_hint="--reference")
    try:
        amount = parse_amount(found.amount, subject.currency)
    except AmountError as error:
        raise click.BadParameter(str(error), param_hint="--amount") from None
    verdict = found.kind(amount, found.reference)
    return resolving(subject_id, found.actor, found.reason, verdict)
