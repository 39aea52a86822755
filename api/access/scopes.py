"""What an API key may be good for; a route names one of these, or says that it is for everyone."""

from __future__ import annotations

from enum import Enum, StrEnum


class Scope(StrEnum):
    """What an API key may be good for."""

    PAYMENTS_WRITE = "payments:write"
    PAYMENTS_READ = "payments:read"
    REFUNDS_WRITE = "refunds:write"
    ACCOUNTS_WRITE = "accounts:write"
    WEBHOOKS_WRITE = "webhooks:write"
    OPS = "ops"


class Everyone(Enum):
    """Marks a route that asks for no key, so that this too is said out loud."""

    EVERYONE = "everyone"
