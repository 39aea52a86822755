"""How far behind everything is, measured from outside: it works while the measured is dead.

Five sources are asked, each on its own: the broker (consumer groups), Postgres (replication
slots, work that waits in tables, and how the providers are) and Redis (stream groups). A
`LagExporter` asks them for as long as a process lives (`running`) or when told (`refresh`). It
writes nothing.
"""

from lag.exporter import LagExporter
from lag.report import (
    GroupLag,
    GroupState,
    PartitionLag,
    ProviderReport,
    RedisGroupLag,
    SlotLag,
    StreamsReport,
    Unavailable,
    WaitingWork,
)
from lag.targets import LagTargets, slots_read, tables_read

__all__ = [
    "GroupLag",
    "GroupState",
    "LagExporter",
    "LagTargets",
    "PartitionLag",
    "ProviderReport",
    "RedisGroupLag",
    "SlotLag",
    "StreamsReport",
    "Unavailable",
    "WaitingWork",
    "slots_read",
    "tables_read",
]
