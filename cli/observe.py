"""`payments observe`: look at payments at their provider now, and have the books follow.

What a provider's notification leads to, without waiting for one: for when it was lost, or a letter
or a reconciliation break says that somebody was at the provider's dashboard.
"""

import asyncio
from collections.abc import Mapping
from uuid import UUID, uuid4

import click
from opentelemetry.trace import NoOpTracer
from prometheus_client import CollectorRegistry

from agents.notifications import looked_at
from cli.operator import Pool, database, submitted
from cli.signing import Signer, signed
from payments.commands import ObservePayment
from payments.notification import (
    NotificationEffect,
    NotificationTaken,
    ProviderNotification,
    Reported,
)
from process.settings import read_settings
from providers.gateway import Gateway
from providers.protected import Limits
from providers.registry import SECTIONS, gateways
from store.read.subjects import subject_by_id
from store.write.group_commit import Submission
from telemetry.metrics import Metrics

_TOLD = {
    NotificationEffect.DOUBTED: "is being worked on: observe it again when that has ended",
    NotificationEffect.CONFIRMED: "stands at its provider as it does here",
    NotificationEffect.RECORDED: "follows its provider now",
    NotificationEffect.CONTRADICTION: "contradicts its provider: see its dead letter",
    NotificationEffect.UNRESOLVED: "cannot be looked at: see its dead letter",
}


@click.command("observe")
@click.argument("payment_ids", metavar="PAYMENT_ID...", nargs=-1, required=True, type=click.UUID)
@signed()
def observe(*, payment_ids: tuple[UUID, ...], signer: Signer) -> None:
    """Look at payments at their provider now, and have the books follow what is there."""
    if not asyncio.run(_observed(payment_ids, signer)):
        raise click.exceptions.Exit(1)


async def _observed(payment_ids: tuple[UUID, ...], signer: Signer) -> bool:
    """Whether all could be looked at."""
    configs = read_settings(SECTIONS).providers
    metrics = Metrics(CollectorRegistry())
    async with (
        database("observe") as pool,
        gateways(configs, Limits(), metrics, NoOpTracer()) as opened,
    ):
        told = [await _one(pool, opened, each, signer) for each in payment_ids]
    for payment_id, (what, _) in zip(payment_ids, told, strict=True):
        click.echo(f"{payment_id} {what}.")
    return all(is_done for _, is_done in told)


async def _one(
    pool: Pool, opened: Mapping[str, Gateway], payment_id: UUID, signer: Signer
) -> tuple[str, bool]:
    async with pool.acquire() as connection:
        subject = await subject_by_id(connection, payment_id)
    if subject is None or subject.is_refund or subject.provider is None:
        return "is no payment at a provider", False
    if subject.provider not in opened:
        return f"is of {subject.provider}, a provider this release does not know", False
    references = (subject.provider_reference,) if subject.provider_reference else ()
    found = await looked_at(opened[subject.provider], payment_id, references)
    if found is None:
        return f"cannot be looked at now: {subject.provider} does not answer", False
    event = ProviderNotification(
        subject.provider, f"observe:{uuid4()}", f"observed by {signer.actor}", Reported.CHANGED
    )
    command = ObservePayment(payment_id, event, found, subject.version)
    signature = signer.signature(
        "observe_payment", f"/api/v1/payments/{payment_id}", tenant_id=subject.tenant_id
    )
    (result,) = await submitted(pool, [Submission(command, signature=signature)])
    if not isinstance(result, NotificationTaken):
        return f"was not recorded: {result}", False
    return f"({result.payment.status.value}) {_TOLD[result.effect]}", True
