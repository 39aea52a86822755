"""A failover: the standby takes the place of the primary, which follows it from then on.

Nobody is told that anything is committed while there is but one of the two, so that nothing told
is lost by it, in whatever state the primary was. It is stopped first, in order if it can be: there
are never two.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from local.embedded.postgres_pair import PostgresPair
from local.program import StartError
from local.supervisor import ProcessState, Supervised
from store.pool import AWAY

# A slot is carried over within seconds once its relay has moved on.
_SLOTS_WITHIN_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.2
# In order it sends all it has to whoever follows; a relay that is frozen would hold it up.
_ENDED_WITHIN_SECONDS: Final = 10.0


async def fail_over(
    pair: PostgresPair, supervised: Sequence[Supervised], say: Callable[[str], None]
) -> None:
    """Return when the standby takes writes. Raises `StartError`, and then all is as it was."""
    by_name = {each.program.name: each for each in supervised}
    primary, standby = pair.primary, pair.standby
    if by_name[standby].snapshot().state is not ProcessState.READY:
        raise StartError(f"{standby} is not ready to take over from {primary}.")
    if by_name[primary].snapshot().state is ProcessState.READY:
        await _slots_carried_over(pair, say)
    begun = time.monotonic()
    pair.hold()
    try:
        await by_name[primary].end_life(within_seconds=_ENDED_WITHIN_SECONDS)
        await pair.promote_standby()
    finally:
        pair.settle()
    say(
        f"{standby} takes the writes, {time.monotonic() - begun:.1f} s after {primary} was told"
        f" to end; {primary} is made to follow it."
    )


async def _slots_carried_over(pair: PostgresPair, say: Callable[[str], None]) -> None:
    """Wait for them a little: without its slot a relay reads the table once, and loses nothing."""
    until = time.monotonic() + _SLOTS_WITHIN_SECONDS
    try:
        while loose := await pair.loose_slots():
            if time.monotonic() > until:
                say(f"Not carried over, and made anew: {', '.join(loose)}.")
                return
            await asyncio.sleep(_LOOK_SECONDS)
    except AWAY as error:
        # The primary has just gone, perhaps; what matters is who is to lead.
        why = str(error) or "no answer"
        say(f"Whether the relays' slots are carried over cannot be asked: {why}.")
