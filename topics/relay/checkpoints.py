"""Keeps of the sink what it has been seen to have, and tells the slot how far that goes.

The slot is never confirmed behind what a checkpoint covers: whatever may be lost of the sink
since then comes by the WAL again. While nothing is published there is nothing to keep, and the
slot moves on with the server.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from topics.relay.positions import Floor, Mark, PolledFloor, Replays, Tick
from topics.relay.publisher import Publisher
from topics.relay.set_aside import SetAside
from topics.relay.sinks.sink import Session
from topics.relay.slot import Claim, Postgres
from topics.relay.source import Server


@dataclass(kw_only=True)
class Checkpoints:
    """Those of one stream. `confirm` is told positions of the WAL that need not be sent again."""

    postgres: Postgres
    claim: Claim
    server: Server
    session: Session
    publisher: Publisher
    aside: SetAside
    floor: Floor | PolledFloor
    replays: Replays
    confirm: Callable[[int], None]
    # What was acknowledged, and the floor, when a checkpoint was last kept.
    _kept: tuple[int, int] | None = field(default=None, init=False)
    # What was acknowledged when it was last looked, and the greatest position drawn by then.
    _looked: tuple[int, int] | None = field(default=None, init=False)

    async def look(self) -> None:
        """See how far Postgres is, and keep what follows, until the floor covers all that is sent.

        Raises `Deposed` and `SourceFailure`.
        """
        if self._is_covered():
            return
        # Asked in this order: see Tick.
        acknowledged = self.publisher.acknowledged
        read_from = self.session.acknowledged()
        drawn = await self.postgres.drawn_position()
        now = await self.postgres.transactions()
        self.floor.tick(Tick(read_from, drawn, now.xmin, now.newest, now.lsn))
        if self._looked is None or self._looked[0] != acknowledged:
            self._looked = acknowledged, drawn
        await self.keep()

    async def keep(self) -> None:
        """Keep what is certain by now."""
        await self.aside.forget_arrived(self.postgres)
        self.floor.settle(self.publisher.confirmed)
        self.replays.look(self.publisher.received, self.session.acknowledged())
        self.replays.settle(self.publisher.confirmed)
        floor, confirmed = self.floor.floor, self.publisher.confirmed
        if floor is None or self._kept == (self.publisher.acknowledged, floor):
            return
        kept = self.publisher.acknowledged, floor
        extents = self.session.extents
        marks = {
            at: Mark(
                extents[at].incarnation,
                self.floor.read_from[at],
                self.replays.replay_from[at],
                acked,
            )
            for at, acked in self.session.acknowledged().items()
        }
        await self.postgres.keep_checkpoint(self.claim, floor, marks, confirmed, self.server)
        if self._kept is None and self.claim.has_gap:
            await self.postgres.close_gap(self.claim)
        self._kept = kept
        self.confirm(confirmed)

    @property
    def acknowledged_when_kept(self) -> int:
        """How many rows were acknowledged when a checkpoint was last kept."""
        return 0 if self._kept is None else self._kept[0]

    async def thin(self) -> None:
        """Forget what is not needed any more."""
        await self.postgres.thin_checkpoints(self.claim.sink)

    def moved(self) -> None:
        """Nothing was published since the last checkpoint: it holds good for all that passed."""
        if self._is_kept() and not self.publisher.rows_in_flight:
            self.confirm(self.publisher.confirmed)

    def _is_kept(self) -> bool:
        return self._kept is not None and self._kept[0] == self.publisher.acknowledged

    def _is_covered(self) -> bool:
        if self._kept is None or self._looked is None:
            return False
        acknowledged, drawn = self._looked
        return self._is_kept() and acknowledged == self._kept[0] and drawn <= self._kept[1]
