"""`payments resolve`: an operator says what became of a payment or a refund nobody was sure of.

It needs no ingress, and asks for what was found at the provider: nothing is taken for granted.
Who resolved it, and why, is recorded with it.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import click

from cli.operator import database, submitted
from cli.signing import Signer, signed
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
from store.read.audit_log import Signature
from store.read.subjects import Subject, subject_by_id
from store.write.group_commit import Submission


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read in the provider's books, and who says so; no amount: nothing was done."""

    outcome: str
    amount: str | None
    reference: str | None
    signer: Signer


@click.command("resolve")
@click.argument("subject_id", metavar="PAYMENT_OR_REFUND_ID", type=click.UUID)
@click.option(
    "--outcome", type=click.Choice(["succeeded", "captured", "failed"]), help="What was found."
)
@click.option("--failed", is_flag=True, help="The same as --outcome failed.")
@click.option("--amount", help="How much the provider took, or gave back.")
@click.option("--reference", help="The provider's own name for it.")
@signed(must_say_why=True)
def resolve(
    *,
    subject_id: UUID,
    outcome: str | None,
    failed: bool,
    amount: str | None,
    reference: str | None,
    signer: Signer,
) -> None:
    """End the doubt about a payment or refund in unknown or review, by what was found."""
    has_effect = outcome in {"succeeded", "captured"}
    if has_effect == (failed or outcome == "failed"):
        raise click.UsageError(
            "Say what was found: --outcome succeeded, --outcome captured or --failed."
        )
    if (amount is not None, reference is not None) != (has_effect, has_effect):
        raise click.UsageError("What succeeded has an --amount and a --reference, nothing else.")
    found = _Found(outcome or "failed", amount, reference, signer)
    told = asyncio.run(_resolved(subject_id, found))
    if not isinstance(told, Payment | Refund):
        raise click.ClickException(str(told))
    click.echo(f"{told.id} is {told.status.value}.")


async def _resolved(subject_id: UUID, found: _Found) -> Result | str:
    async with database("resolve") as pool:
        async with pool.acquire() as connection:
            subject = await subject_by_id(connection, subject_id)
        if subject is None:
            return f"there is no payment and no refund {subject_id}"
        submission = Submission(
            _command(subject_id, subject, found), signature=_signature(subject_id, subject, found)
        )
        (told,) = await submitted(pool, [submission])
        return told


def _signature(subject_id: UUID, subject: Subject, found: _Found) -> Signature:
    kind = "refund" if subject.is_refund else "payment"
    return found.signer.signature(
        f"resolve_{kind}",
        f"/api/v1/{kind}s/{subject_id}/resolve",
        tenant_id=subject.tenant_id,
        outcome=found.outcome,
        amount=found.amount,
        provider_reference=found.reference,
    )


def _command(subject_id: UUID, subject: Subject, found: _Found) -> Command:
    resolving, signer = ResolveRefund if subject.is_refund else ResolvePayment, found.signer
    if found.amount is None or found.reference is None:
        return resolving(subject_id, signer.actor, signer.reason, DidNotHappen())
    if not REFERENCE.fullmatch(found.reference):
        message = "must be 1 to 255 visible ASCII characters"
        raise click.BadParameter(message, param_hint="--reference")
    try:
        amount = parse_amount(found.amount, subject.currency)
    except AmountError as error:
        raise click.BadParameter(str(error), param_hint="--amount") from None
    verdict = (Captured if found.outcome == "captured" else Happened)(amount, found.reference)
    return resolving(subject_id, signer.actor, signer.reason, verdict)
