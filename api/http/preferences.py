"""`Prefer: wait=N` (RFC 7240): how long a client would rather wait than ask again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# Below the minute after which proxies give up on an answer.
WAIT_SECONDS_MAX: Final = 30
_WAIT: Final = re.compile(r"wait\s*=\s*\"?([0-9]{1,9})\"?", re.IGNORECASE)


def wait_seconds(headers: Iterable[str]) -> int | None:
    """Seconds to wait, at most 30; None without a preference.

    One we cannot read is none (section 2).

    The first of several counts, as the RFC has it.
    """
    for header in headers:
        for preference in header.split(","):
            if found := _WAIT.fullmatch(preference.partition(";")[0].strip()):
                return min(int(found[1]), WAIT_SECONDS_MAX)
    return None
