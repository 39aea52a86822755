"""Whether a webhook comes from the provider it claims to come from.

Only the exact bytes received can be verified, never a parsed and re-encoded body. A valid
signature makes an event a hint to go and ask, not a fact: it may be late, repeated or out
of order.
"""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What is known of a webhook's origin.

    EXPIRED is genuine but too old: a replay, or a clock gone wrong. UNDECIDED could not be
    checked now: answer with a status that makes the provider send it again.
    """

    VALID = "valid"
    MALFORMED = "malformed"
    MISMATCH = "mismatch"
    EXPIRED = "expired"
    UNDECIDED = "undecided"
