"""`payments failover`: the standby of the database takes the place of the primary."""

import asyncio
import os
import time
from typing import Final

import click

from cli.operator import database
from cli.signing import Signer, entered, signed
from local.home import Home
from local.run import FAIL_OVER
from local.run_record import RunRecord, is_running, read_record
from local.supervisor import ProcessState
from store.pool import AWAY
from store.read.audit_log import ASKED, DONE, FAILED, Signature
from store.write.operators import sign

_LOOK_SECONDS: Final = 0.2
# Slots are waited for, the primary may have to be killed, and the standby replays what it has.
_SECONDS_MAX: Final = 120.0
# A primary that does not answer is why one fails over: it is not waited for.
_NOTED_WITHIN_SECONDS: Final = 5.0


@click.command("failover")
@signed()
def failover(*, signer: Signer) -> None:
    """Let the standby of the database take over from the primary, which follows it then.

    For what `payments run --cluster` runs in this folder, whatever state its primary is in. No
    client loses what it was told; for some seconds it is told to come back. Returns when the new
    primary has its standby.
    """
    home = Home.of(os.environ)
    before = read_record(home)
    if before is None or not is_running(before):
        raise click.ClickException(f"nothing runs in {home.directory}")
    if before.primary is None:
        raise click.ClickException("there is one database: `payments run --cluster` has a standby")
    signature = signer.signature("fail_over", "/database", primary=before.primary)
    _note(signature, ASKED)
    try:
        begun = time.monotonic()
        os.kill(before.pid, FAIL_OVER)
        _until_ended(home, before, begun)
        after = _until_followed(home, begun)
    except BaseException:
        _note(signature, FAILED)
        raise
    _note(signature, DONE)
    click.echo(
        f"{after.primary} takes the writes, and {before.primary} follows it, after"
        f" {time.monotonic() - begun:.1f} s."
    )


def _note(signature: Signature, outcome: str) -> None:
    """Write it into the audit log, or say that it is not there: it holds no failover up."""
    try:
        asyncio.run(_noted(signature, outcome))
    except (click.ClickException, *AWAY) as error:
        why = str(error) or "no answer"
        click.echo(f"not in the audit log that this was {outcome}: {why}", err=True)


async def _noted(signature: Signature, outcome: str) -> None:
    async with (
        asyncio.timeout(_NOTED_WITHIN_SECONDS),
        database("failover") as pool,
        pool.acquire() as connection,
    ):
        await sign(connection, entered(signature, outcome))


def _until_ended(home: Home, before: RunRecord, begun: float) -> None:
    number = 0 if before.failover is None else before.failover.number
    while True:
        ended = _looked(home, begun).failover
        if ended is None or ended.number == number:
            continue
        if ended.error is not None:
            raise click.ClickException(ended.error)
        return


def _until_followed(home: Home, begun: float) -> RunRecord:
    while True:
        record = _looked(home, begun)
        databases = [one for one in record.processes if one.name.startswith("postgres")]
        if all(one.state is ProcessState.READY for one in databases):
            return record


def _looked(home: Home, begun: float) -> RunRecord:
    """The record a moment later. Raises ClickException if that is too late, or there is none."""
    time.sleep(_LOOK_SECONDS)
    record = read_record(home)
    if record is None or not is_running(record):
        raise click.ClickException("the run has ended meanwhile")
    if time.monotonic() - begun > _SECONDS_MAX:
        raise click.ClickException(
            f"it has taken {_SECONDS_MAX:.0f} s by now and goes on: `payments status` shows how far"
        )
    return record
