"""What all sources of lag have in common: where the pipeline is, and when to give up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Measured_co = TypeVar("Measured_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LagTargets:
    """Where to look, and what ought to be there.

    `stages` names each stage's consumer group and its topic, so that one that never ran is
    reported too; other groups on the broker are found by asking. `slots` and `redis_streams`
    are names. Postgres is given in the pieces a driver takes.
    """

    bootstrap_servers: str
    redis_url: str
    database_host: str
    database_port: int
    database_user: str
    database_password: str = field(repr=False)
    database_name: str
    stages: Mapping[str, str] = field(default_factory=dict)
    slots: Sequence[str] = ()
    redis_streams: Sequence[str] = ()


class Source(Protocol[Measured_co]):
    """One source: measured again and again, closed once. It reconnects by itself."""

    async def measure(self, now: float) -> tuple[Measured_co, ...]:
        """Measure at `now`, in seconds since 1970; raises whatever its driver raises."""
        ...

    async def close(self) -> None:
        """Drop the connection; the next measurement opens another."""
        ...
