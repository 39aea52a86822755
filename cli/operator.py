"""What an operator decides at the console, handed straight to the database: no ingress is needed.

Whatever is asked is decided and recorded as it is for everybody else, and signed.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

import asyncpg
import click
from prometheus_client import CollectorRegistry

from payments.decision import Context, Refused, Result
from payments.progress import Policy
from process.settings import read_settings
from providers.registry import REFERENCES, RULES
from store.pool import connect
from store.write.commit import Reply
from store.write.context import live
from store.write.group_commit import GroupCommitter, Held, Limits, StoreUnavailable, Submission
from telemetry.metrics import Metrics

# Longer than a batch of anybody's, and no test of patience.
_PATIENCE_S: Final = 20.0

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


def context() -> Callable[[], Context]:
    """What a decision of this deployment is given: it may be made once a command."""
    return live(Policy(**read_settings().payment.policy()), REFERENCES, RULES)


@asynccontextmanager
async def database(command: str) -> AsyncIterator[Pool]:
    """The database, for one command of `payments`. Raises ClickException if it is away."""
    address = read_settings().database.address()
    try:
        pool = await connect(address, application_name=f"payments {command}", size=1)
    except (OSError, asyncpg.PostgresError) as error:
        why = str(error) or "no answer"
        raise click.ClickException(f"the database cannot be reached: {why}") from error
    async with pool:
        try:
            yield pool
        except (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError) as error:
            raise click.ClickException(f"{error}: run `payments migrate up`") from error


def where() -> str:
    """Which database a command changes, as whoever is asked to confirm it reads it."""
    address = read_settings().database.address()
    servers = ", ".join(f"{host}:{port}" for host, port in address.servers)
    return f"the database {address.database} at {servers}"


async def submitted(pool: Pool, submissions: Sequence[Submission]) -> list[Result | str]:
    """What came of each, one after the other: its result, or why not."""
    metrics = Metrics(CollectorRegistry())
    async with GroupCommitter(pool, context(), metrics, Limits(in_flight=1)) as committer:
        return [await _outcome(committer, each) for each in submissions]


def told(reply: Reply) -> Result | str:
    """A reply's result, or why it was refused."""
    return reply.result.detail if isinstance(reply.result, Refused) else reply.result


async def _outcome(committer: GroupCommitter, submission: Submission) -> Result | str:
    try:
        return told(await committer.submit(submission, _PATIENCE_S))
    except Held as error:
        return f"somebody else holds what it needs: {error}"
    except StoreUnavailable as error:
        return f"the database is away: {error}"
