"""The real world as decisions see it: the wall clock, fresh ids, chance.

Ids are of the moment a decision is made at, however long it takes: rows of one account are ordered
by them, and another host's next row is dated from when the last was decided.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from payments.decision import Context
from store.ids import IdSource
from topics.contracts import channels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payments.progress import Policy
    from payments.provider_rules import ProviderRules

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NO_REFERENCES: Final[Mapping[str, str]] = MappingProxyType({})
NO_RULES: Final[Mapping[str, ProviderRules]] = MappingProxyType({})


def live(
    policy: Policy,
    references: Mapping[str, str] = NO_REFERENCES,
    rules: Mapping[str, ProviderRules] = NO_RULES,
    clock_ns: Callable[[], int] = time.time_ns,
) -> Callable[[], Context]:
    """What a process hands its committer; one per process, since its ids must increase.

    Who takes what clients and operators ask hands over how providers name their charges
    (`references`) and what they take (`rules`).
    """
    chance = random.Random()  # noqa: S311 - ids must be unique and ordered, not secret
    now_ns = 0
    new_id = IdSource(lambda: now_ns, chance.getrandbits)

    def context() -> Context:
        nonlocal now_ns
        now_ns = clock_ns()
        now = _EPOCH + timedelta(microseconds=now_ns // 1000)
        return Context(now, new_id, chance.random(), policy, channels.WORK, references, rules)

    return context
