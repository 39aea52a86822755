"""`payments keys`: API keys, made, listed, revoked and rotated in the database.

A key is shown once, when it is made: only its hash is kept. What is revoked or expired stays
listed, so that who could do what, and when, can be told later.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import click
from asyncpg.pool import PoolConnectionProxy
from rich.console import Console
from rich.table import Table

from api.access.authentication import new_secret
from api.access.scopes import Scope
from cli.durations import Duration
from cli.operator import database
from cli.shown import plain, shown
from cli.signing import Signer, entered, signed
from store.read.api_keys import ApiKey, api_key_by_id, api_keys
from store.read.audit_log import DONE
from store.tenant_names import TENANT_LENGTH_MAX, is_tenant_name
from store.write.api_keys import expire_api_key, insert_api_key, revoke_api_key
from store.write.operators import sign

_SCOPES = [scope.value for scope in Scope]
_NOT_FOUND: Final = "api_key_not_found"
_ENDED: Final = "api_key_not_valid"


@click.group("keys")
def keys() -> None:
    """Make, list, revoke and rotate API keys."""


@keys.command("create")
@click.option("--tenant", required=True, help="Whose data the key opens.")
@click.option("--name", required=True, help="Who holds it: shown in lists and audit trails.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(_SCOPES),
    help="What it is good for; may be given several times. All but ops unless said.",
)
@click.option(
    "--expires-in", type=Duration(), help="For how long, like 720h; for good unless said."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@signed()
def create(
    *,
    tenant: str,
    name: str,
    scopes: Sequence[str],
    expires_in: timedelta | None,
    as_json: bool,
    signer: Signer,
) -> None:
    """Make a key and print it, this once."""
    if not is_tenant_name(tenant):
        said = f"a tenant has a name, of at most {TENANT_LENGTH_MAX} characters"
        raise click.BadParameter(said, param_hint="--tenant")
    now = datetime.now(UTC)
    secret = new_secret()
    key = ApiKey(
        id=secret.key_id,
        tenant_id=tenant,
        name=name,
        secret_sha256=secret.secret_sha256,
        scopes=frozenset(scopes or [each for each in _SCOPES if each != Scope.OPS.value]),
        created_at=now,
        expires_at=now + expires_in if expires_in else None,
    )
    asyncio.run(_insert(key, signer))
    _show_once(key, secret.text, as_json=as_json)


@keys.command("list")
@click.option("--tenant", help="Only this tenant's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a key.")
def list_keys(*, tenant: str | None, as_json: bool) -> None:
    """List keys, those that no longer open anything too."""
    found = asyncio.run(_all(tenant))
    if as_json:
        for key in found:
            click.echo(json.dumps(_described(key)))
        return
    table = Table("id", "tenant", "name", "scopes", "state", "expires")
    now = datetime.now(UTC)
    for key in found:
        expires = f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "-"
        table.add_row(
            key.id,
            shown(key.tenant_id),
            shown(key.name),
            " ".join(sorted(key.scopes)),
            _state(key, now),
            expires,
        )
    Console().print(table)


@keys.command("revoke")
@click.argument("key_id")
@signed()
def revoke(*, key_id: str, signer: Signer) -> None:
    """End a key now; the ingress sees it within seconds."""
    key = asyncio.run(_revoke(key_id, signer))
    if key is None:
        raise click.ClickException(f"there is no key {key_id}")
    click.echo(f"{key.id} ({plain(key.name)}) is revoked.")


@keys.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap", type=Duration(), default="24h", help="How long the old key stays good (24h)."
)
@click.option(
    "--expires-in",
    type=Duration(),
    help="For how long the new one is good; unless said, for as long as the old one was made for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@signed()
def rotate(
    *,
    key_id: str,
    overlap: timedelta,
    expires_in: timedelta | None,
    as_json: bool,
    signer: Signer,
) -> None:
    """Make a key that replaces another, which then expires."""
    secret = new_secret()
    now = datetime.now(UTC)

    def successor(old: ApiKey) -> ApiKey:
        lifetime = expires_in or (old.expires_at - old.created_at if old.expires_at else None)
        return replace(
            old,
            id=secret.key_id,
            secret_sha256=secret.secret_sha256,
            created_at=now,
            expires_at=now + lifetime if lifetime else None,
            revoked_at=None,
        )

    async def exchange() -> ApiKey | None:
        async with _database() as connection, connection.transaction():
            old = await api_key_by_id(connection, key_id)
            signature = signer.signature(
                "rotate_api_key",
                _target(key_id),
                tenant_id=old.tenant_id if old else None,
                successor=secret.key_id,
                overlap_seconds=overlap.total_seconds(),
            )
            if old is None or not old.is_valid_at(now):
                await sign(connection, entered(signature, _NOT_FOUND if old is None else _ENDED))
                return None
            await insert_api_key(connection, successor(old))
            await expire_api_key(connection, key_id, now + overlap)
            await sign(connection, entered(signature))
            return successor(old)

    key = asyncio.run(exchange())
    if key is None:
        raise click.ClickException(f"there is no valid key {key_id}")
    _show_once(key, secret.text, as_json=as_json)
    click.echo(f"{key_id} stays good for {overlap}.", err=True)


@asynccontextmanager
async def _database() -> AsyncIterator[PoolConnectionProxy]:
    async with database("keys") as pool, pool.acquire() as connection:
        yield connection


def _target(key_id: str) -> str:
    return f"/api-keys/{key_id}"


async def _insert(key: ApiKey, signer: Signer) -> None:
    signature = signer.signature(
        "create_api_key",
        _target(key.id),
        tenant_id=key.tenant_id,
        name=key.name,
        scopes=sorted(key.scopes),
        expires_at=key.expires_at,
    )
    async with _database() as connection, connection.transaction():
        await insert_api_key(connection, key)
        await sign(connection, entered(signature))


async def _all(tenant: str | None) -> list[ApiKey]:
    async with _database() as connection:
        return await api_keys(connection, tenant)


async def _revoke(key_id: str, signer: Signer) -> ApiKey | None:
    async with _database() as connection, connection.transaction():
        key = await revoke_api_key(connection, key_id, datetime.now(UTC))
        signature = signer.signature(
            "revoke_api_key", _target(key_id), tenant_id=key.tenant_id if key else None
        )
        await sign(connection, entered(signature, DONE if key else _NOT_FOUND))
        return key


def _show_once(key: ApiKey, text: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"key": text, **_described(key)}))
        return
    click.echo(text)
    scopes = " ".join(sorted(key.scopes))
    click.echo(f"{key.id} for {key.tenant_id}: {scopes}. It is not shown again.", err=True)


def _described(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "tenant": key.tenant_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at:
        return "revoked"
    return "valid" if key.is_valid_at(now) else "expired"
