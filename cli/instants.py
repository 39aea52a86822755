"""A click parameter type for times as ISO 8601 has them."""

from datetime import UTC, datetime

import click


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
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
