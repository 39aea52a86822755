"""The real world as decisions see it: the wall clock, fresh ids, chance."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from payments.decision import Context
from store.ids import IdSource
from topics.contracts import channels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payments.progress import Policy
    from payments.provider_rules import ProviderRules

NO_REFERENCES: Final[Mapping[str, str]] = MappingProxyType({})
NO_RULES: Final[Mapping[str, ProviderRules]] = MappingProxyType({})


def live(
    policy: Policy,
    references: Mapping[str, str] = NO_REFERENCES,
    rules: Mapping[str, ProviderRules] = NO_RULES,
) -> Callable[[], Context]:
    """What a process hands its committer; one per process, since its ids must increase.

    Who takes what clients and operators ask hands over how providers name their charges
    (`references`) and what they take (`rules`).
    """
    chance = random.Random()  # noqa: S311 - ids must be unique and ordered, not secret
    new_id = IdSource(time.time_ns, chance.getrandbits)
    return lambda: Context(
        datetime.now(UTC), new_id, chance.random(), policy, channels.ALL, references, rules
    )
