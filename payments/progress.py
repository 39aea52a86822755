"""How far a provider has been asked for something, and when somebody must look again.

One value serves payments and refunds alike. While something is owed `due_at` is
set, so nothing can wait in silence; while an attempt is in flight `lease_id` names
it, and `due_at` is when its worker is given up for dead. Once a provider may know of
it `first_asked_at` is set, and whatever is tried later asks before it acts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from payments.record import Struct, replace

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


# What is in review is still asked after, once a day: vendors do find lost charges.
REVIEW_INTERVAL: Final = timedelta(hours=24)
# A payer waits: whatever a provider wishes, its payment is due again by then. The provider itself
# is left alone for as long as it wishes by whoever asks it for all payments.
_RETRY_AFTER_MAX_S: Final = 30.0


class Policy(Struct, frozen=True):
    """The waiting times and limits of provider work; durations in seconds.

    `max_retries` counts the tries after the first. `patience_s` is how long work
    may sit on a topic before it is sent again, `lease_s` how long a worker may be
    silent after a claim. An unknown outcome is asked after with delays that double
    from `retry_delay_s` to `inquiry_delay_max_s`, `max_inquiries` times, before a
    human must look; one that the provider itself does not know yet (`Pending`) is asked after
    for ever, with delays up to `pending_delay_max_s`. A worker whose provider has notified us of
    its call is given `notification_patience_s` to bring the answer itself. An authorization
    nobody captures within `authorization_ttl_s` is given back: seven days are what Stripe holds an
    online card payment for (docs.stripe.com/payments/place-a-hold-on-a-payment-method).
    """

    max_retries: int = 4
    retry_delay_s: float = 1.0
    retry_delay_max_s: float = 30.0
    lease_s: float = 30.0
    patience_s: float = 120.0
    inquiry_delay_max_s: float = 300.0
    max_inquiries: int = 20
    notification_patience_s: float = 5.0
    pending_delay_max_s: float = 3600.0
    authorization_ttl_s: float = 7 * 24 * 3600.0


class Progress(Struct, frozen=True):
    """Claims so far, burned retries, fruitless inquiries, and who holds it until when.

    `first_asked_at` is when the provider was first asked for what is owed, None as long
    as it certainly was not: its memory of our idempotency key is counted from there.
    """

    max_retries: int
    due_at: datetime | None
    lease_id: UUID | None = None
    attempt_count: int = 0
    retry_count: int = 0
    inquiry_count: int = 0
    first_asked_at: datetime | None = None

    @property
    def exhausted(self) -> bool:
        """Whether one more failed try is one too many."""
        return self.retry_count >= self.max_retries

    def leased(self, attempt_id: UUID, asked_at: datetime, until: datetime) -> Progress:
        """The next attempt is in flight; since `asked_at` the provider may know of it."""
        return replace(
            self,
            lease_id=attempt_id,
            due_at=until,
            attempt_count=self.attempt_count + 1,
            first_asked_at=self.first_asked_at or asked_at,
        )

    def unasked(self) -> Progress:
        """The first attempt did not get as far as the provider, which knows of nothing."""
        return replace(self, first_asked_at=None)

    def waiting(self, until: datetime) -> Progress:
        """Nobody holds it; somebody must look at `until`."""
        return replace(self, lease_id=None, due_at=until)

    def retrying(self, until: datetime) -> Progress:
        """A try was burned; the next is due at `until`."""
        return replace(self.waiting(until), retry_count=self.retry_count + 1)

    def inquiring(self, until: datetime) -> Progress:
        """The outcome is unknown; ask at `until`."""
        return replace(self.waiting(until), inquiry_count=self.inquiry_count + 1)

    def settled(self) -> Progress:
        """Nothing is owed any more."""
        return replace(self, lease_id=None, due_at=None)


def backoff(count: int, delay_s: float, delay_max_s: float, jitter: float) -> timedelta:
    """The wait after the `count`-th failure (from 0): doubling, capped, up to a quarter longer.

    `jitter` in [0, 1) spreads those who failed together.
    """
    doubled = delay_s * 2 ** min(count, 30)
    return timedelta(seconds=min(doubled, delay_max_s) * (1 + jitter / 4))


def retry_delay(
    progress: Progress, policy: Policy, jitter: float, wish_s: float | None
) -> timedelta:
    """The wait before the next try, no shorter than the provider's own wish in seconds."""
    delay = backoff(progress.retry_count, policy.retry_delay_s, policy.retry_delay_max_s, jitter)
    return max(delay, timedelta(seconds=min(wish_s or 0.0, _RETRY_AFTER_MAX_S)))


def unasked_delay(
    progress: Progress, policy: Policy, jitter: float, wish_s: float | None
) -> timedelta:
    """The wait after an attempt that never got as far as the provider: longer with each claim."""
    count = replace(progress, retry_count=max(0, progress.attempt_count - 1))
    return retry_delay(count, policy, jitter, wish_s)


def pending_delay(progress: Progress, policy: Policy, jitter: float) -> timedelta:
    """The wait before the provider is asked again what it does not know yet itself."""
    count, longest = max(0, progress.attempt_count - 1), policy.pending_delay_max_s
    return backoff(count, policy.retry_delay_s, longest, jitter)


def inquiry_delay(progress: Progress, policy: Policy, jitter: float) -> timedelta:
    """The wait before the next question about an unknown outcome."""
    count, longest = progress.inquiry_count, policy.inquiry_delay_max_s
    return backoff(count, policy.retry_delay_s, longest, jitter)
