"""Identifiers: time-ordered UUIDv7 for rows, derived UUIDv5 for what must be found by name.

Pure: time and entropy come in as arguments. A derived id is a function of its
names alone, so any process computes the same one.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

_SYSTEM_ACCOUNTS: Final = UUID("6f1c8d4e-52b7-5c0e-9d3f-0a7c1be25d10")
_DEAD_LETTERS: Final = UUID("b0a1f7c2-94de-5a8b-8f65-7d20c3e41b9a")
_REFUNDS: Final = UUID("9c4b7a52-0d1e-5f36-8a7c-2b95e6d0f413")
_DISPUTES: Final = UUID("d2f60b18-6c3a-5e94-b1d7-84a0c95e7f26")
_BREAKS: Final = UUID("5f8e2c1b-7a40-5d6e-9c3b-1e04d7b2a865")
# A millisecond divided by the 2^12 values that fit, rounded up.
ID_RESOLUTION_NS: Final = 245


def uuid7(unix_ns: int, entropy: int) -> UUID:
    """A UUID version 7 from nanoseconds since 1970 and 62 bits of entropy (RFC 9562, 5.7)."""
    return UUID(int=uuid7_bits(unix_ns, entropy))


def uuid7_bits(unix_ns: int, entropy: int) -> int:
    """Its 128 bits.

    The 12 bits after the milliseconds hold the fraction of the millisecond (RFC 9562,
    6.2, method 3), so two ids made `ID_RESOLUTION_NS` apart sort by time.
    """
    unix_ms, rest_ns = divmod(unix_ns, 1_000_000)
    fraction = (rest_ns << 12) // 1_000_000
    return (
        (unix_ms << 80)
        | (0x7 << 76)
        | (fraction << 64)
        | (0b10 << 62)
        | (entropy & ((1 << 62) - 1))
    )


def system_account_id(tenant_id: str, code: str, currency: str) -> UUID:
    """The id of a tenant's system account (`world`, `clearing:stripe`, ...) in one currency."""
    return uuid5(_SYSTEM_ACCOUNTS, f"{tenant_id}/{code}/{currency}")


def dead_letter_id(stage: str, message: str) -> UUID:
    """One id for one message at one stage, so that a redelivery parks it once."""
    return uuid5(_DEAD_LETTERS, f"{stage}/{message}")


def found_refund_id(provider: str, reference: str) -> UUID:
    """The id of a refund that was made at its provider, without us."""
    return uuid5(_REFUNDS, f"{provider}/{reference}")


def dispute_id(provider: str, reference: str) -> UUID:
    """The id of a dispute, whose name is its provider's."""
    return uuid5(_DISPUTES, f"{provider}/{reference}")


def reconciliation_break_id(provider: str, about: str) -> UUID:
    """One id for one difference, whichever runs find it."""
    return uuid5(_BREAKS, f"{provider}/{about}")
