"""The real world as decisions see it: the wall clock, fresh ids, chance."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from payments.decision import Context
from store.ids import IdSource
from topics.contracts import channels

if TYPE_CHECKING:
    from collections.abc import Callable

    from payments.progress import Policy


def live(policy: Policy) -> Callable[[], Context]:
    """What a process hands its committer; one per process, since its ids must increase."""
    chance = random.Random()  # noqa: S311 - ids must be unique and ordered, not secret
    new_id = IdSource(time.time_ns, chance.getrandbits)
    return lambda: Context(datetime.now(UTC), new_id, chance.random(), policy, channels.ALL)
