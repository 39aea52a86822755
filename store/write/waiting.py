"""One caller who waits for the outcome of a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from store.write.commit import Reply, Submission


@dataclass(slots=True, eq=False)
class Waiting:
    """A submission since `since` (of the monotonic clock), and where its outcome goes.

    `key_is_held`: another session is at work under its idempotency key, as it was tried last.
    """

    submission: Submission
    answer: asyncio.Future[Reply]
    since: float
    key_is_held: bool = False

    @property
    def tenant_id(self) -> str:
        """Whose it is; empty where nobody says."""
        return self.submission.tenant_id

    def give(self, reply: Reply | Exception) -> None:
        """Answer whoever waits, if somebody still does."""
        if self.answer.done():
            return
        if isinstance(reply, Exception):
            self.answer.set_exception(reply)
        else:
            self.answer.set_result(reply)
