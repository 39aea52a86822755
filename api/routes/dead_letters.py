"""Dead letters: what could not be processed, to be tried again or closed, signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.access.scopes import Scope
from api.contract.requests.bodies import ResolveDeadLetterBody
from api.contract.requests.queries import DeadLettersQuery
from api.contract.responses.answers import Page, json_answer
from api.contract.responses.dead_letters import DeadLetterDetailResponse, DeadLetterResponse
from api.contract.route import Route, Success
from api.handling.cursors import BY_TIME
from api.handling.lists import Listing
from api.handling.submission import commit
from api.http.problems import DEAD_LETTER_NOT_FOUND, Problem
from api.idempotency.key import KeyUse
from payments.commands import DiscardDeadLetter, RedriveDeadLetter
from payments.dead_letter import DeadLetter
from store.read.dead_letters import (
    DeadLetterFilters,
    dead_letter_by_id,
    dead_letters_page,
    letters_behind,
)

if TYPE_CHECKING:
    from api.handling.call import Call
    from payments.decision import Result
    from store.write.group_commit import Answer


async def list_dead_letters(call: Call) -> Answer:
    query = call.query(DeadLettersQuery)
    return await _DEAD_LETTERS.answer(call, query, query.filters(DeadLetterFilters))


async def get_dead_letter(call: Call) -> Answer:
    letter_id = call.path_id(DEAD_LETTER_NOT_FOUND)
    async with call.database() as connection:
        letter = await dead_letter_by_id(connection, call.tenant_id, letter_id)
        waiting = await letters_behind(connection, letter) if letter else []
    if letter is None:
        raise Problem(DEAD_LETTER_NOT_FOUND, f"there is no dead letter {letter_id}")
    return json_answer(200, DeadLetterDetailResponse.detailed(letter, waiting))


async def redrive_dead_letter(call: Call) -> Answer:
    letter_id = call.path_id(DEAD_LETTER_NOT_FOUND)
    body = await call.body(ResolveDeadLetterBody)
    command = RedriveDeadLetter(
        letter_id=letter_id, actor=call.asker.actor, reason=body.reason, tenant_id=call.tenant_id
    )
    return (await commit(call, command, _resolved)).answer


async def discard_dead_letter(call: Call) -> Answer:
    letter_id = call.path_id(DEAD_LETTER_NOT_FOUND)
    body = await call.body(ResolveDeadLetterBody)
    command = DiscardDeadLetter(
        letter_id=letter_id, actor=call.asker.actor, reason=body.reason, tenant_id=call.tenant_id
    )
    return (await commit(call, command, _resolved)).answer


def _resolved(result: Result) -> Answer:
    assert isinstance(result, DeadLetter), "resolving a letter gives the letter"
    return json_answer(200, DeadLetterResponse.of(result))


_DEAD_LETTERS: Final = Listing(
    read=dead_letters_page,
    order=BY_TIME,
    position=lambda letter: (letter.last_failed_at, letter.id),
    page=Page[DeadLetterResponse],
    row=DeadLetterResponse.of,
)

ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/dead-letters",
        handler=list_dead_letters,
        scope=Scope.OPS,
        summary="Dead letters, the newest failure first.",
        tag="Operations",
        query=DeadLettersQuery,
        successes={200: Success("A page of dead letters.", Page[DeadLetterResponse])},
    ),
    Route(
        method="GET",
        path="/api/v1/dead-letters/{id}",
        handler=get_dead_letter,
        scope=Scope.OPS,
        summary="A dead letter, with the message as it came.",
        tag="Operations",
        successes={200: Success("The dead letter.", DeadLetterDetailResponse)},
    ),
    Route(
        method="POST",
        path="/api/v1/dead-letters/{id}/redrive",
        handler=redrive_dead_letter,
        scope=Scope.OPS,
        summary="Try again what is parked.",
        tag="Operations",
        body=ResolveDeadLetterBody,
        key_use=KeyUse.ACCEPTED,
        refusals=(409,),
        successes={200: Success("The letter, redriven.", DeadLetterResponse)},
    ),
    Route(
        method="POST",
        path="/api/v1/dead-letters/{id}/discard",
        handler=discard_dead_letter,
        scope=Scope.OPS,
        summary="Close a letter without trying again.",
        tag="Operations",
        body=ResolveDeadLetterBody,
        key_use=KeyUse.ACCEPTED,
        refusals=(409,),
        successes={200: Success("The letter, discarded.", DeadLetterResponse)},
    ),
)
