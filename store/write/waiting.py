"""One caller who waits for the outcome of a command, and how that can end without one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.write.commit import KeyInFlight

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from store.write.commit import Reply, Submission


class StoreUnavailable(Exception):
    """Postgres is away. If it left during COMMIT, the command may be recorded."""


class Held(StoreUnavailable):
    """The command has waited for as long as its caller does. It may still be recorded."""


class Overloaded(Exception):
    """The queue is full; `retry_after_s` is how long it needs to drain at its present rate."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the queue is full, try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


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

    @property
    def needed(self) -> Iterator[object]:
        """What no two batches have at once, as far as the command says by itself.

        That is rows that it has locked, and its idempotency key.
        """
        needs = self.submission.command.needs()
        yield from needs.account_ids
        yield from needs.payment_ids
        yield from needs.refund_ids
        yield from needs.dead_letter_ids
        yield from needs.method_ids
        yield from needs.endpoint_ids
        if (asked := self.submission.idempotency) is not None:
            yield asked.tenant_id, asked.key

    def give(self, reply: Reply | Exception) -> None:
        """Answer whoever waits, if somebody still does."""
        if self.answer.done():
            return
        if isinstance(reply, Exception):
            self.answer.set_exception(reply)
        else:
            self.answer.set_result(reply)

    def give_up(self, patience_s: float) -> None:
        """Let whoever waits wait no longer; the command may still be recorded."""
        self.tell_of_key()
        self.give(Held(f"not recorded within {patience_s:g} s"))

    def tell_of_key(self) -> None:
        """The same, if what it waits for is another request with its key."""
        if self.key_is_held:
            self.give(KeyInFlight())
