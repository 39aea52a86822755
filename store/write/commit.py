"""One batch inside one transaction: answer what was answered before, decide the rest, record.

The answer to a request with an idempotency key is stored in the transaction of its
effect, refusals included, so it is never lost and never there without it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import asyncpg
import orjson
import structlog

from payments.decision import Refused
from payments.decisions.decide import decide
from store.faults import KeyHeldError
from store.queries import bound
from store.read.audit_log import DONE, AuditEntry
from store.rows import columns
from store.write.batch import Working, load
from store.write.record import Recorded, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from payments.account import SystemAccount
    from payments.commands import Command
    from payments.decision import Context, Decision, Result
    from store.read.audit_log import Signature
    from store.write.known_systems import KnownSystems
    from telemetry.tracing import Trace

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

    `placed` adds to an answer up to which position of the outbox is said what it answers. `tenant`
    is whose turn it takes, where the command itself does not say. What is signed is kept in the
    audit log, with its outcome.
    """

    command: Command
    trace: Trace | None = None
    idempotency: Idempotency | None = None
    render: Callable[[Result | Refused], Answer] | None = None
    placed: Callable[[Answer, int], Answer] | None = None
    tenant: str = ""
    signature: Signature | None = None

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
    # To be learnt once it is committed.
    systems: list[SystemAccount]


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

    @classmethod
    def of(cls, asked: Idempotency, now: datetime, answer: Answer) -> Self:
        """The key of a request, and its answer."""
        headers = orjson.dumps(dict(answer.headers)).decode()
        key = (asked.tenant_id, asked.key, asked.fingerprint)
        return cls(*key, answer.status, headers, answer.body, now, answer.provisional)


async def commit(
    connection: PoolConnectionProxy,
    submissions: Sequence[Submission],
    context: Callable[[], Context],
    *,
    skips_held: bool = False,
    known_systems: KnownSystems | None = None,
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
    written = await record(connection, batch.recorded, known_systems)
    if written.position is not None:
        replies = batch.placed(submissions, replies, written.position)
    batch.keep()
    if batch.audit:
        await connection.execute(*columns("insert_audit_log", batch.audit))
    if batch.keys:
        with _naming_keys():
            await connection.execute(*columns("insert_idempotency_keys", batch.keys))
    return Committed(replies, batch.outcomes, written.systems)


async def rehearsed(
    connection: PoolConnectionProxy, command: Command, context: Callable[[], Context]
) -> Reply:
    """What would come of a command by itself: decided and recorded like any other, then undone."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        committed = await commit(connection, [Submission(command)], context)
    finally:
        await transaction.rollback()
    (reply,) = committed.replies
    if isinstance(reply, Exception):
        raise reply
    return reply


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
        self._kept: list[tuple[Idempotency, datetime, Answer]] = []
        self.audit: list[AuditEntry] = []
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
        self._sign(submission, outcome, at)
        answer = self._answer(submission, outcome, at.now)
        if isinstance(outcome, Refused):
            return Reply(outcome, answer)
        self._working.apply(outcome)
        self.recorded.append(Recorded(outcome, submission.trace, at.now))
        return Reply(outcome.result, answer)

    def placed(
        self, submissions: Sequence[Submission], replies: Sequence[Reply | Exception], position: int
    ) -> list[Reply | Exception]:
        """The replies, and the keys with them, now that it is known where it was recorded."""
        placed: dict[int, Answer] = {}
        for submission, reply in zip(submissions, replies, strict=True):
            if (
                isinstance(reply, Reply)
                and reply.answer is not None
                and submission.placed is not None
                and not (reply.replayed or isinstance(reply.result, Refused))
            ):
                placed[id(reply.answer)] = submission.placed(reply.answer, position)
        self._kept = [
            (asked, now, placed.get(id(answer), answer)) for asked, now, answer in self._kept
        ]
        return [_with_answer(reply, placed) for reply in replies]

    def keep(self) -> None:
        """Each key with its answer as it will be given again."""
        self.keys = [_KeyRow.of(asked, now, answer) for asked, now, answer in self._kept]

    def _sign(self, submission: Submission, outcome: Decision | Refused, at: Context) -> None:
        if submission.signature is not None:
            became = outcome.code.value if isinstance(outcome, Refused) else DONE
            entry = AuditEntry(
                id=at.new_id(), signature=submission.signature, outcome=became, recorded_at=at.now
            )
            self.audit.append(entry)

    def _answer(
        self, submission: Submission, outcome: Decision | Refused, now: datetime
    ) -> Answer | None:
        if submission.render is None:
            return None
        answer = submission.render(outcome if isinstance(outcome, Refused) else outcome.result)
        asked = submission.idempotency
        if asked is not None and is_kept(outcome):
            self._known[asked.tenant_id, asked.key] = _Known(asked.fingerprint, answer)
            self._kept.append((asked, now, answer))
        return answer


def _with_answer(reply: Reply | Exception, placed: Mapping[int, Answer]) -> Reply | Exception:
    """The reply with what takes its answer's place; given again within the batch, the same."""
    if isinstance(reply, Exception) or id(reply.answer) not in placed:
        return reply
    return replace(reply, answer=placed[id(reply.answer)])


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
