"""How a provider is to us just now, by what our last calls ended in, and since when.

It is one thing, whatever it is made of: what a claim asks before it claims, what operators are
shown and alarmed by, and what a client reads of a payment that waits.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from payments.record import Struct

if TYPE_CHECKING:
    from datetime import datetime

    from payments.payment import Provider


class ProviderState(StrEnum):
    """From good to bad: where several are true, or several processes differ, the last is told.

    `limited`: it takes less than we have for it. `circuit_open`: it fails at most of what it is
    asked. `unreachable`: nobody is reached, for want of a connection, a name, a socket, a proxy.
    `refusing_credentials`: it is reached, and lets us in no more.
    """

    WELL = "well"
    LIMITED = "limited"
    CIRCUIT_OPEN = "circuit_open"
    UNREACHABLE = "unreachable"
    REFUSING_CREDENTIALS = "refusing_credentials"


SEVERITY: Final = {state: rank for rank, state in enumerate(ProviderState)}


class ProviderCondition(Struct, frozen=True):
    """A provider's state, since when, and why it is thought to be so (empty when well)."""

    provider: Provider
    state: ProviderState
    reason: str
    since: datetime
