"""What ends a relay's stream and what follows: every one is logged, counted and begun again from.

RelayFailure
    SourceFailure        Postgres is away or closed the stream: reconnect
        SlotActive       another relay reads the slot, or one of the sink's: stand by
        Deposed          another relay has taken over: begin again, which is to stand by
        SlotLost         the server gave the slot up: recreate it, rebuild from the table
    RebuildAsked         an operator wants all compared with the table: begin again
    SinkFailure          the sink is away, refused, or is no longer what it was: read it back
    UndeclaredTopic      a row for a topic this version does not know: an older relay runs
"""

from typing import ClassVar


class RelayFailure(Exception):
    """Ends a stream; `reason` is the label it is counted under."""

    reason: ClassVar[str]


class SourceFailure(RelayFailure):
    """Postgres does not answer, refuses, or ended the stream."""

    reason = "source"


class SlotActive(SourceFailure):
    """Another process reads the slot (SQLSTATE 55006), or another slot for the same sink."""

    reason = "slot_active"


class Deposed(SourceFailure):
    """Another relay has taken the sink over: what we would keep of it is not ours to say."""

    reason = "deposed"


class SlotLost(SourceFailure):
    """The slot was invalidated: the WAL it needed is gone (`wal_status = lost`)."""

    reason = "slot_lost"


class SinkFailure(RelayFailure):
    """The sink does not answer, refuses, or lost what it had acknowledged."""

    reason = "sink"


class RebuildAsked(RelayFailure):
    """An operator wants the sink compared with the table from the beginning."""

    reason = "rebuild"


class UndeclaredTopic(RelayFailure):
    """Publishing past the row would lose it, so the relay stays in front of it."""

    reason = "undeclared_topic"
