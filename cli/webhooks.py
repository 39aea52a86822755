"""`payments webhooks`: tenants' endpoints and what was sent to them, straight from the database.

`listen` is an endpoint of its own for as long as it runs: it prints each event that it is sent,
once it has verified who sent it, and passes it on if it is told where to.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

import aiohttp
import click
import orjson
from aiohttp import web
from rich.console import Console
from rich.table import Table

from cli.operator import Pool, database, submitted
from cli.shown import shown
from cli.signing import Signer, signed
from payments.webhook_endpoint import (
    CreateWebhookEndpoint,
    DeleteWebhookEndpoint,
    ReplayDeliveries,
    WebhookEndpoint,
    WebhookReplay,
)
from process.settings import read_settings
from store.read.audit_log import Signature
from store.read.found import first_of
from store.read.webhooks import (
    Delivery,
    DeliveryFilters,
    EndpointFilters,
    KnownEndpoint,
    WebhookAttempt,
    webhook_attempts_of,
    webhook_deliveries_page,
    webhook_delivery_by_id,
    webhook_endpoint_by_id,
    webhook_endpoints_page,
)
from store.write.group_commit import Submission
from topics.contracts.webhooks import (
    API_VERSIONS,
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Keyring,
    NoKey,
    signature,
)

_ANY_TENANT: Final = None
_ENDPOINTS: Final = "/api/v1/webhook-endpoints"


@click.group("webhooks")
def webhooks() -> None:
    """Look at webhook endpoints and deliveries, send again, or be an endpoint."""


@webhooks.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, help="At most so many (100).")
def list_endpoints(*, limit: int) -> None:
    """List endpoints of all tenants, the newest first."""
    table = Table("id", "tenant", "url", "state", "failing since", "events")
    for known in asyncio.run(_endpoints(limit)):
        endpoint = known.endpoint
        table.add_row(
            str(endpoint.id),
            shown(endpoint.tenant_id),
            shown(endpoint.url),
            shown(endpoint.disabled_reason or endpoint.state.value),
            f"{known.failing_since:%Y-%m-%d %H:%M}" if known.failing_since else "-",
            ", ".join(endpoint.event_types) or "all",
        )
    Console().print(table)


@webhooks.command("attempts")
@click.argument("endpoint_id", type=click.UUID)
@click.argument("delivery_id", type=click.UUID, required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="At most so many (50).")
def attempts(*, endpoint_id: UUID, delivery_id: UUID | None, limit: int) -> None:
    """Show an endpoint's deliveries, or every try of one of them."""
    if delivery_id is None:
        table = Table("id", "event", "state", "tries", "last", "created")
        for each in asyncio.run(_deliveries(endpoint_id, limit)):
            last = each.last_error or str(each.last_status or "-")
            made = f"{each.created_at:%Y-%m-%d %H:%M:%S}"
            tries = str(each.attempt_count)
            table.add_row(str(each.id), each.event_type, each.state.value, tries, shown(last), made)
    else:
        table = Table("try", "began", "ms", "status", "error", "answer")
        for tried in asyncio.run(_attempts(endpoint_id, delivery_id)):
            table.add_row(
                str(tried.number),
                f"{tried.started_at:%Y-%m-%d %H:%M:%S}",
                "-" if tried.duration_ms is None else str(tried.duration_ms),
                str(tried.status or "-"),
                shown(tried.error or "-"),
                shown(tried.answer.decode("utf-8", "replace")[:200]),
            )
    Console().print(table)


@webhooks.command("replay")
@click.argument("endpoint_id", type=click.UUID)
@click.option("--delivery", "delivery_id", type=click.UUID, help="This one alone.")
@click.option("--all", "takes_all", is_flag=True, help="Those that were taken, too.")
@click.option("--from", "since", type=click.DateTime(), help="Made at or after this time (UTC).")
@click.option("--before", type=click.DateTime(), help="Made before this time (UTC).")
@signed()
def replay(
    *,
    endpoint_id: UUID,
    delivery_id: UUID | None,
    takes_all: bool,
    since: datetime | None,
    before: datetime | None,
    signer: Signer,
) -> None:
    """Send again what failed, or one delivery, or all of a time."""
    created_from, created_before = (
        each.replace(tzinfo=UTC) if each else None for each in (since, before)
    )
    asyncio.run(
        _replayed(
            endpoint_id,
            delivery_id,
            failed_only=not takes_all and delivery_id is None,
            created_from=created_from,
            created_before=created_before,
            signer=signer,
        )
    )
    click.echo("`agents deliver` sends them again, the oldest first.")


@webhooks.command("listen")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="0, a free one, unless said."
)
@click.option("--forward-to", help="A URL that each event is posted to as well, as it came.")
@click.option("--tenant", default="default", help="Whose events (default).")
@click.option("--event-type", "event_types", multiple=True, help="Only these; all unless said.")
@signed()
def listen(
    *,
    port: int,
    forward_to: str | None,
    tenant: str,
    event_types: tuple[str, ...],
    signer: Signer,
) -> None:
    """Be an endpoint on this machine until Ctrl-C, and print what comes."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_listened(port, forward_to, tenant, event_types, signer))


async def _listened(
    port: int, forward_to: str | None, tenant: str, event_types: tuple[str, ...], signer: Signer
) -> None:
    keyring = Keyring.of(read_settings().webhook_deliveries.key.get_secret_value())
    async with database("webhooks") as pool, aiohttp.ClientSession() as http:
        secrets: list[str] = []

        async def take(request: web.Request) -> web.Response:
            body = await request.read()
            if not _is_vouched(request, body, secrets):
                click.echo("refused what nobody vouches for", err=True)
                return web.Response(status=401)
            event = orjson.loads(body)
            click.echo(f"{event['timestamp']}  {event['type']:<24} {event['id']}  {body.decode()}")
            if forward_to is None:
                return web.Response()
            async with http.post(forward_to, data=body, headers=_passed_on(request)) as answer:
                return web.Response(status=answer.status, body=await answer.read())

        async with _serving(take, port) as address:
            endpoint = await _made(pool, keyring, tenant, address, event_types, signer=signer)
            secrets += keyring.secrets(endpoint, datetime.now(UTC))
            click.echo(f"Listening at {address}, signed by {secrets[0]}")
            try:
                await asyncio.Event().wait()
            finally:
                gone = DeleteWebhookEndpoint(
                    tenant_id=tenant, endpoint_id=endpoint.id, actor=signer.actor
                )
                path = f"{_ENDPOINTS}/{endpoint.id}"
                signature = signer.signature("delete_webhook_endpoint", path, tenant_id=tenant)
                await submitted(pool, [Submission(gone, signature=signature)])


def _is_vouched(request: web.Request, body: bytes, secrets: list[str]) -> bool:
    named = (request.headers.get(each, "") for each in (ID_HEADER, TIMESTAMP_HEADER))
    event_id, timestamp = named
    sent = request.headers.get(SIGNATURE_HEADER, "").split()
    ours = [signature(each, event_id, timestamp, body) for each in secrets]
    return any(hmac.compare_digest(each, known) for each in sent for known in ours)


def _passed_on(request: web.Request) -> dict[str, str]:
    names = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER, "Content-Type")
    return {name: request.headers[name] for name in names if name in request.headers}


@asynccontextmanager
async def _serving(
    take: Callable[[web.Request], Awaitable[web.Response]], port: int
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def _made(
    pool: Pool,
    keyring: Keyring,
    tenant: str,
    url: str,
    event_types: tuple[str, ...],
    *,
    signer: Signer,
) -> WebhookEndpoint:
    try:
        key_id = keyring.current_id
    except NoKey as error:
        raise click.ClickException(f"{error}: set PAYMENTS_WEBHOOK_KEY.") from error
    made = CreateWebhookEndpoint(
        tenant_id=tenant,
        url=url,
        event_types=event_types,
        api_version=API_VERSIONS[0],
        description="payments webhooks listen",
        key_id=key_id,
        actor=signer.actor,
    )
    signature = signer.signature(
        "create_webhook_endpoint", _ENDPOINTS, tenant_id=tenant, url=url, event_types=event_types
    )
    (endpoint,) = await submitted(pool, [Submission(made, signature=signature)])
    if not isinstance(endpoint, WebhookEndpoint):
        raise click.ClickException(str(endpoint))
    return endpoint


async def _endpoints(limit: int) -> list[KnownEndpoint]:
    async with database("webhooks") as pool, pool.acquire() as connection:
        read = partial(webhook_endpoints_page, connection, _ANY_TENANT, EndpointFilters())
        return await first_of(read, limit)


async def _deliveries(endpoint_id: UUID, limit: int) -> list[Delivery]:
    filters = DeliveryFilters(endpoint_id=endpoint_id)
    async with database("webhooks") as pool, pool.acquire() as connection:
        return await first_of(partial(webhook_deliveries_page, connection, filters), limit)


async def _attempts(endpoint_id: UUID, delivery_id: UUID) -> list[WebhookAttempt]:
    async with database("webhooks") as pool, pool.acquire() as connection:
        known = await webhook_delivery_by_id(connection, _ANY_TENANT, endpoint_id, delivery_id)
        if known is None:
            raise click.ClickException(f"endpoint {endpoint_id} has no delivery {delivery_id}")
        return await webhook_attempts_of(connection, delivery_id)


async def _replayed(
    endpoint_id: UUID,
    delivery_id: UUID | None,
    *,
    failed_only: bool,
    created_from: datetime | None,
    created_before: datetime | None,
    signer: Signer,
) -> None:
    async with database("webhooks") as pool:
        async with pool.acquire() as connection:
            known = await webhook_endpoint_by_id(connection, _ANY_TENANT, endpoint_id)
        if known is None:
            raise click.ClickException(f"there is no webhook endpoint {endpoint_id}")
        asked = ReplayDeliveries(
            tenant_id=known.endpoint.tenant_id,
            endpoint_id=endpoint_id,
            actor=signer.actor,
            delivery_id=delivery_id,
            failed_only=failed_only,
            created_from=created_from,
            created_before=created_before,
        )
        submission = Submission(asked, signature=_signature(asked, signer))
        (told,) = await submitted(pool, [submission])
        if not isinstance(told, WebhookReplay):
            raise click.ClickException(str(told))


def _signature(asked: ReplayDeliveries, signer: Signer) -> Signature:
    """As the API calls it."""
    path = f"{_ENDPOINTS}/{asked.endpoint_id}"
    if asked.delivery_id is not None:
        path = f"{path}/deliveries/{asked.delivery_id}/replay"
        return signer.signature("replay_webhook_delivery", path, tenant_id=asked.tenant_id)
    return signer.signature(
        "replay_webhook_deliveries",
        f"{path}/replays",
        tenant_id=asked.tenant_id,
        failed_only=asked.failed_only,
        created_from=asked.created_from,
        created_before=asked.created_before,
    )
