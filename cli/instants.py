"""A click parameter type for times as ISO 8601 has them."""

from datetime import UTC, datetime
from typing import Final

import click

# What is further away is a slip, and what is counted from it may be no time any more.
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(3000, 1, 1, tzinfo=UTC)


class Instant(click.ParamType):
    """An ISO 8601 date or time; without a zone it is UTC."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The time a text is."""
        try:
            parsed = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no time like 2026-01-31 or 2026-01-31T12:00:00Z", param, ctx)
        instant = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        if not _EARLIEST <= instant < _LATEST:
            self.fail(f"{value!r} is not between the years 1900 and 2999", param, ctx)
        return instant
