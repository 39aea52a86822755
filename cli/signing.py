"""Who asks for what at the command line, and why: a line of the audit log for each change.

What is one transaction is signed within it. Of what is not, the log has that it was asked before
anything is done, and what became of it afterwards.
"""

import os
import pwd
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final

import click
import orjson

from cli.operator import Pool
from payments.ids import uuid7
from store.pool import AWAY
from store.read.audit_log import ASKED, DONE, FAILED, PLATFORM, AuditEntry, Signature, Via
from store.write.operators import sign

_ENTROPY_BITS: Final = 62
_CALL_BYTES: Final = 16


def login() -> str:
    """Who sits here, whatever the environment says: the login name, and where."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # in a container any number may be somebody
        name = f"uid-{number}"
    return f"{name}@{socket.gethostname()}"


class _Words(click.ParamType):
    """Words that can be kept: something, in UTF-8."""

    name = "text"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("it is not UTF-8", param, ctx)
        return text


class _Name(_Words):
    """Whoever signs has a name."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        name = super().convert(value, param, ctx).strip()
        return name or self.fail("a name is more than nothing", param, ctx)


@dataclass(frozen=True, slots=True)
class Signer:
    """Whoever called this command; `call` is what the lines of one call have in common."""

    actor: str
    reason: str
    call: str = field(default_factory=lambda: secrets.token_hex(_CALL_BYTES))

    def signature(
        self, action: str, target: str, *, tenant_id: str | None = None, **asked: object
    ) -> Signature:
        """Under what is asked for, about a tenant or, with None, about none."""
        said = {name: value for name, value in asked.items() if value is not None}
        if self.actor != login():
            said["login"] = login()
        return Signature(
            tenant_id=PLATFORM,
            about_tenant_id=tenant_id,
            actor=self.actor,
            via=Via.CLI,
            action=action,
            target=target,
            reason=self.reason or None,
            asked=orjson.dumps(said).decode(),
            request_id=self.call,
        )


def signed(*, must_say_why: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds `--reason` and `--actor` to a command, which gets them as its `signer`."""

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(*, actor: str, reason: str, **others: Any) -> None:  # noqa: ANN401 - whatever it takes
            command(signer=Signer(actor, reason), **others)

        by = click.option("--actor", type=_Name(), default=login, help="Who; whoever runs it.")
        why = click.option(
            "--reason",
            type=_Words(),
            required=must_say_why,
            default=None if must_say_why else "",
            help="Why; kept in the audit log.",
        )
        return why(by(called))

    return decorated


def entered(signature: Signature, outcome: str = DONE) -> AuditEntry:
    """The line of the audit log, as of now."""
    return AuditEntry(
        id=uuid7(time.time_ns(), secrets.randbits(_ENTROPY_BITS)),
        signature=signature,
        outcome=outcome,
        recorded_at=datetime.now(UTC),
    )


@asynccontextmanager
async def noted(pool: Pool, signature: Signature) -> AsyncIterator[None]:
    """Around what is no one transaction: that it was asked, and then what became of it."""
    await _write(pool, signature, ASKED)
    try:
        yield
    except BaseException:
        with suppress(*AWAY):
            await _write(pool, signature, FAILED)
        raise
    await _write(pool, signature, DONE)


async def _write(pool: Pool, signature: Signature, outcome: str) -> None:
    async with pool.acquire() as connection:
        await sign(connection, entered(signature, outcome))
