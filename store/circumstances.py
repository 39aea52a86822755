"""The real world as decisions see it: the wall clock, fresh ids, chance."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from payments.decision import Circumstances
from store.ids import IdSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from payments.progress import Policy


def live(policy: Policy) -> Callable[[], Circumstances]:
    """What a process hands its committer; one per process, since its ids must increase."""
    # Ids must be unique and ordered, not secret; jitter must be cheap.
    chance = random.SystemRandom()
    new_id = IdSource(time.time_ns, random.Random(chance.getrandbits(128)).getrandbits)
    jitter = random.Random(chance.getrandbits(128)).random
    return lambda: Circumstances(datetime.now(UTC), new_id, jitter(), policy)
