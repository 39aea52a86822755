"""Dead letters: why each is here, its bytes, what a redrive would do, and what is done with it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final
from uuid import UUID

from api.access.scopes import Scope
from api.console.actions import Action, Subject
from api.console.page import page
from api.console.routes_of import operation
from api.routes.dead_letters import get_dead_letter, list_dead_letters
from payments.commands import RedriveDeadLetter
from payments.dead_letter import DeadLetterReason, DeadLetterState
from payments.decision import Refused

if TYPE_CHECKING:
    from api.console.visit import Shown, Visit
    from store.write.group_commit import Answer

# What a page shows of a message: a person reads no more.
_SHOWN_BYTES: Final = 4096
_REASONS: Final = tuple(reason.value for reason in DeadLetterReason)
# Beside those that are parked, which are shown unless others are asked for.
_STATES: Final = (DeadLetterState.REDRIVEN.value, DeadLetterState.DISCARDED.value, "all")
_STAGES: Final = ("charge", "refund")


async def show_dead_letters(visit: Visit) -> Answer:
    sought = {"state": DeadLetterState.PARKED.value, **visit.parameters}
    if sought["state"] == "all":
        del sought["state"]
    letters = await visit.ask(list_dead_letters, sought)
    return visit.page(
        "dead_letters.html", page=letters, reasons=_REASONS, states=_STATES, stages=_STAGES
    )


async def show_dead_letter(visit: Visit) -> Answer:
    letter = await letter_of(visit)
    return visit.page(
        "dead_letter.html", letter=letter, message_key=_bytes(letter["key_base64"]),
        message_value=_bytes(letter["value_base64"]), shown_bytes=_SHOWN_BYTES,
    )  # fmt: skip


async def letter_of(visit: Visit) -> Shown:
    """The letter of the path, as the API shows it."""
    return await visit.ask(get_dead_letter, {})


async def _rehearsed(visit: Visit) -> Shown:
    """The letter, and what a redrive would make of it and of what waits behind it."""
    letter = await letter_of(visit)
    command = RedriveDeadLetter(
        UUID(letter["id"]), visit.asker.actor, "what would become of it", visit.tenant_id
    )
    async with visit.database() as connection:
        result = (await visit.deps.committer.rehearse(connection, command)).result
    return {**letter, "refused": result.detail if isinstance(result, Refused) else None}


def _bytes(encoded: str | None) -> bytes | None:
    return None if encoded is None else base64.b64decode(encoded)


def _action(name: str, title: str, subject: Subject, *, is_grave: bool = False) -> Action:
    return Action(
        of=operation(name),
        title=title,
        template=f"{name}.html",
        subject=subject,
        back="/console/dead-letters/{id}",
        is_grave=is_grave,
    )


ACTIONS: Final = (
    _action("redrive_dead_letter", "Redrive", _rehearsed),
    _action("discard_dead_letter", "Discard", letter_of, is_grave=True),
)

PAGES: Final = (
    page("/console/dead-letters", show_dead_letters, Scope.OPS, "Dead letters, by reason."),
    page("/console/dead-letters/{id}", show_dead_letter, Scope.OPS, "A dead letter, whole."),
    *(route for action in ACTIONS for route in action.routes()),
)
