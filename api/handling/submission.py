"""From a command to its answer: replayed, or committed now and remembered.

The answer to a request with a key is rendered inside the commit and stored with its
effect; what is sent is what is stored, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from api.handling.call import Call
from api.handling.reads import RETRY_SOON
from api.http.preconditions import refuse_if_match
from api.http.problems import (
    IDEMPOTENCY_KEY_IN_FLIGHT,
    IDEMPOTENCY_KEY_REUSED,
    UNAVAILABLE,
    Problem,
    answer,
    overloaded,
    refusal,
)
from api.idempotency.key import fingerprint
from payments.decision import Refused
from store.write.group_commit import (
    Answer,
    Held,
    Idempotency,
    KeyInFlight,
    KeyReused,
    Overloaded,
    Reply,
    StoreUnavailable,
    Submission,
    is_kept,
)
from telemetry.tracing import current_trace

if TYPE_CHECKING:
    from payments.commands import Command
    from payments.decision import Result

Rendering = Callable[["Result"], Answer]

# Nobody waits longer for a commit: clients give up after ten seconds or so, knowing nothing.
_PATIENCE_S: Final = 6.0
STREAM_POSITION: Final = "Stream-Position"
_REPLAYED: Final = {"Idempotent-Replayed": "true"}


@dataclass(frozen=True, slots=True)
class Answered:
    """What to send, and the outcome behind it: None if it was decided before this request."""

    answer: Answer
    result: Result | Refused = None


async def commit(call: Call, command: Command, render: Rendering) -> Answered:
    """Have the command decided and recorded, once a key. Raises Problem.

    Call it after the body was read, which is part of what a key stands for.
    """
    if not call.route.takes_if_match:
        refuse_if_match(call.request.headers)
    asked = idempotency_of(call)
    try:
        if asked is not None and (first := await call.deps.replay_cache.first_answer(asked)):
            call.headers |= _REPLAYED
            call.deps.metrics.idempotency.replays.labels("cache").inc()
            return Answered(first)
        submission = _submission(call, command, asked, render)
        reply = await call.deps.committer.submit(submission, _PATIENCE_S)
    except KeyReused:
        call.deps.metrics.idempotency.conflicts.labels("reused").inc()
        raise Problem(
            IDEMPOTENCY_KEY_REUSED, "this Idempotency-Key was used for a different request"
        ) from None
    except KeyInFlight:
        call.deps.metrics.idempotency.conflicts.labels("in_flight").inc()
        detail = "the first request with this Idempotency-Key has not ended yet"
        raise Problem(IDEMPOTENCY_KEY_IN_FLIGHT, detail, headers=RETRY_SOON) from None
    except Overloaded as error:
        raise overloaded(error.retry_after_s) from None
    except StoreUnavailable as error:
        what = "what it needs is held" if isinstance(error, Held) else "the database is away"
        detail = f"{what}; try again with the same Idempotency-Key"
        raise Problem(UNAVAILABLE, detail, headers=RETRY_SOON) from error
    return _answered(call, asked, reply)


def idempotency_of(call: Call) -> Idempotency | None:
    """The key of a request whose body was read, and what it stands for; None without a key."""
    if call.idempotency_key is None:
        return None
    same = fingerprint(call.request.method, call.canonical_path, call.body_value)
    return Idempotency(call.tenant_id, call.idempotency_key, same)


def _submission(
    call: Call, command: Command, asked: Idempotency | None, render: Rendering
) -> Submission:
    about = call.asked

    def rendered(outcome: Result | Refused) -> Answer:
        if isinstance(outcome, Refused):
            return answer(refusal(outcome), about)
        return render(outcome)

    def placed(answered: Answer, position: int) -> Answer:
        token = call.deps.feed.token(call.tenant_id, position)
        return at_position(answered, token)

    return Submission(command, current_trace(), asked, rendered, placed, signature=call.signature)


def at_position(answered: Answer, token: str | None) -> Answer:
    """The answer with how far the feed is that tells of it, which belongs to it from then on."""
    if token is None:
        return answered
    return replace(answered, headers={**answered.headers, STREAM_POSITION: token})


def _answered(call: Call, asked: Idempotency | None, reply: Reply) -> Answered:
    assert reply.answer is not None, "a submission with a rendering has an answer"
    if asked is not None and is_kept(reply.result):
        call.deps.replay_cache.keep(asked, reply.answer)
    if reply.replayed:
        call.headers |= _REPLAYED
        call.deps.metrics.idempotency.replays.labels("postgres").inc()
        return Answered(reply.answer)
    return Answered(reply.answer, reply.result)
