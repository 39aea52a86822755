"""When what an endpoint did not take is sent again, and how long the endpoint itself is left alone.

A delivery is tried by the schedule of Standard Webhooks, for three days. An endpoint that takes
nothing is left alone as a whole, so that what waits for it does not each find that out.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

# After the first try, the second, ... (https://www.standardwebhooks.com, Retry schedule): 76 hours.
RETRIES_S: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
# So much more of a pause at the most: what failed together is not tried together.
_JITTER: Final = 0.2
# What an endpoint may ask for by Retry-After: no longer, or it would never be given up.
RETRY_AFTER_MAX_S: Final = 86_400.0
# The first failures may be of single events; from then on it is the endpoint's.
_FAILURES_BORNE: Final = 2
_ALONE_MAX_S: Final = 300.0
# An endpoint that says when it takes more is believed for an hour at a time.
_ALONE_ASKED_MAX_S: Final = 3600.0


def retry_pause(retry_count: int, asked_s: float | None, jitter: float) -> timedelta | None:
    """After so many retries the pause until the next, at least what was asked; None: give up.

    `jitter` is chance, in [0, 1).
    """
    if retry_count >= len(RETRIES_S):
        return None
    pause_s = RETRIES_S[retry_count] * (1 + _JITTER * jitter)
    if asked_s is not None:
        pause_s = max(pause_s, min(asked_s, RETRY_AFTER_MAX_S))
    return timedelta(seconds=pause_s)


def alone_for(failure_count: int, asked_s: float | None, jitter: float) -> timedelta:
    """For how long an endpoint that failed so many times in a row is sent nothing."""
    beyond = failure_count - _FAILURES_BORNE
    pause_s = 0.0 if beyond <= 0 else min(2.0 ** min(beyond, 10), _ALONE_MAX_S)
    if asked_s is not None:
        pause_s = max(pause_s, min(asked_s, _ALONE_ASKED_MAX_S))
    return timedelta(seconds=pause_s * (1 + _JITTER * jitter))
