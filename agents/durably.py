"""Recording that does not give up: Postgres away or overloaded means waiting, not losing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from store.write.group_commit import Held, Overloaded, StoreUnavailable

if TYPE_CHECKING:
    from payments.decision import Refused, Result
    from store.write.group_commit import GroupCommitter, Submission

log = structlog.get_logger()

_FIRST_WAIT_S: Final = 0.1
# A database that failed over is back within seconds; asking it twice a second hurts nobody.
_LONGEST_WAIT_S: Final = 2.0


async def submit_durably(
    committer: GroupCommitter, submission: Submission, patience_s: float | None = None
) -> Result | Refused:
    """The command's outcome, however long Postgres is away; cancel it to stop waiting.

    To be used only for commands that are safe to repeat: a commit whose answer was lost
    is asked for again. Raises Held where somebody else holds what it needs for `patience_s`
    seconds, if that is how long one is patient.
    """
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            return (await committer.submit(submission, patience_s)).result
        except (StoreUnavailable, Overloaded) as error:
            if isinstance(error, Held) and patience_s is not None:
                raise
            log.warning("waiting for the store", reason=str(error), seconds=wait_s)
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
