"""Waiting with an answer for the end of its payment, so that a client need not ask again.

What was accepted is stored with its effect, as ever, but provisionally: nobody is given it
before it is settled. In the end one answer stands under the key, and whoever sends the same
request gets that one, the one who waited included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson

from api.handling.reads import RETRY_SOON
from api.handling.submission import Rendering, at_position, idempotency_of
from api.http.preferences import wait_seconds
from api.http.problems import UNAVAILABLE, Problem
from payments.payment import TERMINAL, Payment
from store.read.feed import drawn_position
from store.write.settled_answers import settled_answer

if TYPE_CHECKING:
    from api.handling.call import Call
    from api.handling.submission import Answered
    from payments.decision import Result
    from store.write.group_commit import Answer


# What no refusal may say.
_OF_AN_ANSWER: Final = ("Idempotent-Replayed", "Preference-Applied")


@dataclass(frozen=True, slots=True)
class Wait:
    """How long a request waits for its payment to end, and how that end is answered."""

    seconds: int
    is_asked_for: bool
    ended: Rendering

    @classmethod
    def of(cls, call: Call, ended: Rendering, *, unless_asked: int = 0) -> Wait:
        """As the client prefers it (`Prefer: wait`), or else for so many seconds."""
        preferred = wait_seconds(call.request.headers.getall("Prefer", ()))
        return cls(unless_asked if preferred is None else preferred, bool(preferred), ended)

    def rendering(self, accepted: Rendering) -> Rendering:
        """How the payment is answered as it was committed: for the time being, if it goes on."""
        if not self.seconds:
            return accepted

        def rendered(result: Result) -> Answer:
            assert isinstance(result, Payment), "it is a payment that one waits for"
            if result.status in TERMINAL:
                return self.ended(result)
            return replace(accepted(result), provisional=True)

        return rendered

    async def answer(self, call: Call, committed: Answered) -> Answer:
        """What is answered, now or after the wait, to this request and to all with its key."""
        first = committed.answer
        if self.is_asked_for and (first.provisional or isinstance(committed.result, Payment)):
            call.headers["Preference-Applied"] = f"wait={self.seconds}"
        if not first.provisional:
            return first
        payment_id = UUID(orjson.loads(first.body)["id"])
        payment = await call.deps.watch.ended(payment_id, self.seconds) if self.seconds else None
        last = replace(first, provisional=False)
        if payment is not None:
            last = await _placed(call, self.ended(payment))
        return await _settled(call, last)


async def _placed(call: Call, last: Answer) -> Answer:
    """The end of a payment was told of by somebody else, by now: all that was drawn covers it."""
    try:
        async with call.database() as connection:
            drawn = await drawn_position(connection)
    except Problem:
        return last
    return at_position(last, call.deps.feed.token(call.tenant_id, drawn))


async def _settled(call: Call, last: Answer) -> Answer:
    """What stands under the key. Raises Problem (503) where that cannot be settled.

    Not even what was accepted is answered then: who asks again might be told something else.
    """
    asked = idempotency_of(call)
    if asked is None:
        return last
    try:
        async with call.database() as connection:
            stands = await settled_answer(connection, asked, last)
    except Problem as problem:
        for name in _OF_AN_ANSWER:
            call.headers.pop(name, None)
        detail = "what was asked for is accepted; try again with the same Idempotency-Key"
        raise Problem(UNAVAILABLE, detail, headers=RETRY_SOON) from problem
    call.deps.replay_cache.keep(asked, stands)
    return stands
