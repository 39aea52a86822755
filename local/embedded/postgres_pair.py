"""Two Postgres servers: one takes writes, the other has each commit before its client is told.

Both are run alike, so that they can change places: who follows whom says a file in a data
directory, `standby.signal`, and which of the two is the primary a file beside them. A standby that
does not fit its primary, be it empty, or a primary of before, is copied anew.

The relays' slots are carried to the standby, and the primary shows them nothing that the standby
has not got: what they publish outlives a failover.
"""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

from local.embedded import postgres
from local.home import Home, write_atomically
from local.program import Program, StartError
from process.addresses import DatabaseAddress
from store.pool import AWAY, connect_single

NAMES: Final = ("postgres", "postgres-2")
_LOOK_SECONDS: Final = 0.2
# At the first start what fails so often fails for good: a disk that is full.
_COPIES_MAX: Final = 3
_COPY_AGAIN_SECONDS: Final = 1.0
_HAS_SLOT: Final = """
SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND wal_status <> 'lost'
"""
_DROP_SLOT: Final = """
SELECT pg_drop_replication_slot(slot_name)
FROM pg_replication_slots
WHERE slot_name = $1 AND NOT active
"""
_SLOTS_TO_CARRY: Final = """
SELECT slot_name FROM pg_replication_slots WHERE failover AND wal_status <> 'lost'
"""
# One that is temporary ends with the promotion, and one that was invalidated is of no use after it.
_SLOTS_CARRIED: Final = """
SELECT slot_name FROM pg_replication_slots
WHERE synced AND NOT temporary AND invalidation_reason IS NULL
"""


def primary_of(home: Home) -> str:
    """Which of the two takes writes."""
    file = _record(home)
    name = file.read_text().strip() if file.exists() else NAMES[0]
    return name if name in NAMES else NAMES[0]


def _record(home: Home) -> Path:
    return home.data("postgres-primary")


class PostgresPair:
    """The two of one run, on ports of their own. A `failover` is somebody else's to conduct."""

    def __init__(self, home: Home, ports: tuple[int, int]) -> None:
        self._home = home
        self._ports = dict(zip(NAMES, ports, strict=True))
        self._settled = asyncio.Event()
        self._settled.set()
        self._has_followed = False
        self.primary = primary_of(home)

    @property
    def standby(self) -> str:
        return _other(self.primary)

    @property
    def address(self) -> DatabaseAddress:
        """Where clients find whichever is the primary."""
        first, second = (postgres.address(self._ports[name]) for name in NAMES)
        return replace(first, standbys=second.servers)

    async def programs(self) -> tuple[Program, ...]:
        """What to run, in the order of their names. Raises `StartError`."""
        if not postgres.is_initialised(self._home.data(self.primary)):
            await postgres.prepare(
                self._home.data(self.primary),
                self._ports[self.primary],
                log=self._home.log(self.primary),
            )
        return tuple(self._program(name) for name in NAMES)

    async def loose_slots(self) -> list[str]:
        """The relays' slots that a promotion would lose by now. Raises one of `AWAY`."""
        wanted = {str(row[0]) for row in await self._ask(self.primary, _SLOTS_TO_CARRY)}
        return sorted(
            wanted - {str(row[0]) for row in await self._ask(self.standby, _SLOTS_CARRIED)}
        )

    def hold(self) -> None:
        """Whichever dies from now on waits with its next life until it is settled who leads."""
        self._settled.clear()

    def settle(self) -> None:
        self._settled.set()

    async def promote_standby(self) -> None:
        """The standby takes writes; the primary must have ended. Raises `StartError`."""
        name = self.standby
        await postgres.promote(self._home.data(name), log=self._home.log(name))
        # Until it is written whoever is asked would still start the other one, and nothing is
        # lost: with nobody to follow it this one tells no client that anything is committed.
        write_atomically(_record(self._home), name)
        self.primary = name

    def _program(self, name: str) -> Program:
        other = _other(name)
        leads_to = postgres.address(self._ports[other])
        conninfo = (
            f"host=127.0.0.1 port={leads_to.port} user={leads_to.user}"
            f" password={leads_to.password} dbname={leads_to.database}"
            f" application_name={_slot(name)}"
        )
        configuration = {
            "cluster_name": _slot(name),
            "hot_standby_feedback": "on",
            # Two of every process, with eight each.
            "max_connections": "300",
            "primary_conninfo": conninfo,
            "primary_slot_name": _slot(name),
            "sync_replication_slots": "on",
            # Of no effect while it is a standby itself.
            "synchronized_standby_slots": _slot(other),
            "synchronous_standby_names": _slot(other),
            # What it says before it has caught up counts for nothing, and so long it is silent.
            "wal_receiver_status_interval": "1s",
        }
        program = postgres.program(
            self._home.data(name),
            self._ports[name],
            log=self._home.log(name),
            configuration=configuration,
        )
        return replace(
            program,
            name=name,
            before=lambda: self._before(name),
            is_ready=lambda: self._is_ready(name),
        )

    async def _before(self, name: str) -> None:
        """Before each life: a standby must fit whoever leads now."""
        await self._settled.wait()
        copies = 0
        while name == self.standby:
            try:
                if not await self._fits(name):
                    await self._copy(name)
            except AWAY:  # the primary, which may be on its way
                await asyncio.sleep(_LOOK_SECONDS)
            except StartError:
                # The primary went away meanwhile, or still holds the slot for one before. Who has
                # followed is never given up: without it nobody is told of a commit.
                copies += 1
                if copies == _COPIES_MAX and not self._has_followed:
                    raise
                await asyncio.sleep(_COPY_AGAIN_SECONDS)
            else:
                self._has_followed = True
                return
            await self._settled.wait()

    async def _fits(self, name: str) -> bool:
        data = self._home.data(name)
        if not (postgres.is_initialised(data) and (data / postgres.STANDBY_SIGNAL).exists()):
            return False
        ((kept,),) = await self._ask(self.primary, _HAS_SLOT, _slot(name))
        return kept == 1

    async def _copy(self, name: str) -> None:
        await self._ask(self.primary, _DROP_SLOT, _slot(name))
        primary = postgres.address(self._ports[self.primary])
        await postgres.copy(
            primary, self._home.data(name), slot=_slot(name), log=self._home.log(name)
        )

    async def _is_ready(self, name: str) -> bool:
        try:
            return await self._takes_writes(name) is (name == self.primary)
        except AWAY:
            return False

    async def _takes_writes(self, name: str) -> bool:
        ((is_following,),) = await self._ask(name, "SELECT pg_is_in_recovery()")
        return not is_following

    async def _ask(self, name: str, statement: str, *arguments: object) -> list[tuple[object, ...]]:
        connection = await connect_single(
            postgres.address(self._ports[name]), application_name="payments run", timeout_s=5
        )
        try:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()


def _other(name: str) -> str:
    return NAMES[1 - NAMES.index(name)]


def _slot(name: str) -> str:
    """As Postgres lets one be named, and what a standby calls itself."""
    return name.replace("-", "_")
