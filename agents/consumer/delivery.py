"""A message as a stage takes it: the event behind it, where it stood, and what it says.

Whatever bytes arrive become a delivery, those that nobody can read with the reason why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from payments.dead_letter import DeadLetterReason, SourceMessage
from store.tenant_names import is_tenant_name
from topics.contracts.envelope import EnvelopeError, Message, from_kafka

if TYPE_CHECKING:
    from faust.types import EventT


# Where a message without a readable tenant is parked: its finder is an operator.
_NO_TENANT: Final = "default"


class PoisonError(Exception):
    """This message cannot be processed, now or later; or only after another: it is to be parked."""

    def __init__(self, reason: DeadLetterReason, error: str) -> None:
        super().__init__(error)
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """An event, where it stood, and what it says or why nobody can tell."""

    event: EventT[bytes]
    source: SourceMessage
    message: Message | PoisonError


def delivered(event: EventT[bytes]) -> Delivery:
    """The event, read."""
    headers = {name: said for name, said in (event.headers or {}).items() if said is not None}
    received = event.message
    texts = {name: storable(value.decode("utf-8", "replace")) for name, value in headers.items()}
    source = SourceMessage(
        received.topic, received.partition, received.offset, received.key, received.value, texts
    )
    try:
        message: Message | PoisonError = from_kafka(
            received.topic, received.key, received.value, headers.items()
        )
    except EnvelopeError as error:
        message = PoisonError(DeadLetterReason.UNDECODABLE, str(error))
    return Delivery(event, source, message)


def tenant_of(source: SourceMessage) -> str:
    """Whose message it says it is; what can be no tenant's name is nobody's."""
    said = source.headers.get("ce_tenantid", "")
    return said if is_tenant_name(said) else _NO_TENANT


def storable(text: str) -> str:
    """Postgres keeps no NUL in a text, and UTF-8 has no lone surrogate."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
