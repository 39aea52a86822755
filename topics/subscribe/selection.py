"""What a subscription gives, whichever server it reads: which messages, and the pace it keeps."""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Literal
from uuid import UUID

from topics.contracts.envelope import Message

Start = Literal["earliest", "latest"] | UUID

COMMIT_EVERY_SECONDS: Final = 1.0
WAIT_MS: Final = 1000
BATCH_MESSAGES_MAX: Final = 500
# Topics and streams are the relay's to make: so often it is asked whether they are there.
APPEARS_SECONDS: Final = 0.5
# As many as a minute of a busy topic: repeats come shortly after a restart or a refill.
_REMEMBERED_MAX: Final = 100_000


@dataclass(slots=True)
class Selection:
    """Which messages to give: not again, only one payment's if asked.

    Raises ValueError for a start that the group would not heed.
    """

    group: str | None
    start: Start
    payment_id: UUID | None
    _recent: dict[UUID, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.group is not None and isinstance(self.start, UUID):
            raise ValueError("a group remembers where it is: it cannot start from an id")

    def has(self, message: Message) -> bool:
        if message.id in self._recent:
            return False
        self._recent[message.id] = None
        if len(self._recent) > _REMEMBERED_MAX:
            del self._recent[next(iter(self._recent))]
        return self.payment_id is None or message.key == str(self.payment_id)


class Interval:
    """Says when something is due again; the first time, at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last_at = 0.0

    def is_over(self) -> bool:
        """Whether it is due; if so, the next interval begins."""
        now = asyncio.get_running_loop().time()
        if now - self._last_at < self._seconds:
            return False
        self._last_at = now
        return True
