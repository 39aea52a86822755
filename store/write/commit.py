"""One batch inside one transaction: answer what was answered before, decide the rest, record.

The answer to a request with an idempotency key is stored in the transaction of its
effect, refusals included, so it is never lost and never there without it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import asyncpg
import orjson
import structlog

from payments.decision import Refused
from payments.decisions.decide import decide
from store.faults import KeyHeldError
from store.queries import bound
from store.rows import columns
from store.write.batch import Working, load
from store.write.record import Recorded, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from payments.commands import Command
    from payments.decision import Context, Decision, Result

log = structlog.get_logger()


class KeyReused(Exception):
    """The idempotency key was used for another request."""


class KeyInFlight(Exception):
    """Another request with this key has been at work for as long as we wait."""


class RowHeld(Exception):
    """Somebody else holds a row that the command needs: nothing was decided, nothing is known."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A request's key in its tenant, and what the request was (a digest)."""

    tenant_id: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whole, so that it can be given again byte for byte.

    While one is `provisional` nobody was given it, and a later one may take its place under the
    key (`store.write.settled_answers`).
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class Submission:
    """A command to decide and record; with a key, also how its answer reads.

    `tenant` is whose turn it takes, where the command itself does not say.
    """

    command: Command
    traceparent: str | None = None
    idempotency: Idempotency | None = None
    render: Callable[[Result | Refused], Answer] | None = None
    tenant: str = ""

    @property
    def tenant_id(self) -> str:
        """Whose turn it takes; empty where nobody says."""
        return getattr(self.command, "tenant_id", None) or self.tenant


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcome, and its answer if it was rendered; replayed, there is only the answer."""

    result: Result | Refused
    answer: Answer | None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """A reply for each submission, an Exception being its own failure; and what of it is new."""

    replies: list[Reply | Exception]
    outcomes: list[tuple[Command, Decision | Refused]]


@dataclass(frozen=True, slots=True)
class _Known:
    """An answer given before, in this batch or an earlier one."""

    fingerprint: bytes
    answer: Answer


class _KeyRow(NamedTuple):
    """A row of `idempotency_keys`, by its columns."""

    tenant_id: str
    key: str
    fingerprint: bytes
    status: int
    headers: str
    body: bytes
    recorded_at: datetime
    provisional: bool


async def commit(
    connection: PoolConnectionProxy,
    submissions: Sequence[Submission],
    context: Callable[[], Context],
    *,
    skips_held: bool = False,
) -> Committed:
    """Decide and record the submissions in order; RowHeld for those that it `skips_held`.

    To be called inside a transaction; what it returns counts only once that is committed.
    """
    known = await _known_answers(connection, submissions)
    new = [each for each in submissions if not _replayed(each, known)]
    commands = [each.command for each in new]
    working = await load(connection, commands, skips_held=skips_held)
    batch = _Batch(working, known)
    replies = [batch.reply(each, context) for each in submissions]
    await record(connection, batch.recorded)
    if batch.keys:
        with _naming_keys():
            await connection.execute(*columns("insert_idempotency_keys", batch.keys))
    return Committed(replies, batch.outcomes)


@contextmanager
def _naming_keys() -> Iterator[None]:
    """Say of a lock that a key is what it is waited for: another request with it is at work."""
    try:
        yield
    except asyncpg.LockNotAvailableError as error:
        raise KeyHeldError(str(error)) from error


class _Batch:
    """The decisions of one batch, in order, each seeing those before it."""

    def __init__(self, working: Working, known: dict[tuple[str, str], _Known]) -> None:
        self._working = working
        self._known = known
        self.recorded: list[Recorded] = []
        self.keys: list[_KeyRow] = []
        self.outcomes: list[tuple[Command, Decision | Refused]] = []

    def reply(self, submission: Submission, context: Callable[[], Context]) -> Reply | Exception:
        earlier = _replayed(submission, self._known)
        if earlier is not None:
            return earlier
        if self._working.is_held(submission.command):
            return RowHeld()
        at = context()
        try:
            outcome = decide(submission.command, self._working.state(), at)
        except Exception as error:
            log.exception("a decision failed", command=type(submission.command).__name__)
            return error
        self.outcomes.append((submission.command, outcome))
        answer = self._answer(submission, outcome, at.now)
        if isinstance(outcome, Refused):
            return Reply(outcome, answer)
        self._working.apply(outcome)
        self.recorded.append(Recorded(outcome, submission.traceparent))
        return Reply(outcome.result, answer)

    def _answer(
        self, submission: Submission, outcome: Decision | Refused, now: datetime
    ) -> Answer | None:
        if submission.render is None:
            return None
        answer = submission.render(outcome if isinstance(outcome, Refused) else outcome.result)
        asked = submission.idempotency
        if asked is not None and is_kept(outcome):
            self._known[asked.tenant_id, asked.key] = _Known(asked.fingerprint, answer)
            headers = orjson.dumps(dict(answer.headers)).decode()
            key = (asked.tenant_id, asked.key, asked.fingerprint)
            given = (answer.status, headers, answer.body)
            self.keys.append(_KeyRow(*key, *given, now, answer.provisional))
        return answer


def is_kept(outcome: Decision | Result | Refused) -> bool:
    """Whether a key stands for this outcome from now on.

    A request whose own condition failed, or that came in between, was not performed: its key is
    free, so that the asker can look again and try again, and the two tries can still not become
    two payments.
    """
    return not (isinstance(outcome, Refused) and outcome.is_conditional)


def _replayed(
    submission: Submission, known: Mapping[tuple[str, str], _Known]
) -> Reply | Exception | None:
    asked = submission.idempotency
    earlier = known.get((asked.tenant_id, asked.key)) if asked else None
    if asked is None or earlier is None:
        return None
    if earlier.fingerprint != asked.fingerprint:
        return KeyReused(f"the key {asked.key!r} was used for another request")
    return Reply(None, earlier.answer, replayed=True)


async def _known_answers(
    connection: PoolConnectionProxy, submissions: Sequence[Submission]
) -> dict[tuple[str, str], _Known]:
    asked = {
        (each.idempotency.tenant_id, each.idempotency.key)
        for each in submissions
        if each.idempotency
    }
    if not asked:
        return {}
    tenant_ids, keys = zip(*asked, strict=True)
    stored = bound("idempotency_answers", tenant_ids=tenant_ids, keys=keys)
    return {
        (row["tenant_id"], row["key"]): _Known(row["fingerprint"], answer_from(row))
        for row in await connection.fetch(*stored)
    }


def answer_from(row: Record) -> Answer:
    """An answer that is stored under a key."""
    headers = orjson.loads(row["headers"])
    return Answer(row["status"], headers, row["body"], provisional=row["provisional"])
