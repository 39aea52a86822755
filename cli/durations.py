"""A click parameter type for durations as the settings take them: `24h`, `1m30s`, `500ms`."""

from datetime import timedelta
from typing import Final

import click

from process.sections import parse_duration

_LONGEST: Final = timedelta(days=36_525)


class Duration(click.ParamType):
    """A duration in Go's notation."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """The duration a text is; what is one already stays."""
        if isinstance(value, timedelta):
            return value
        try:
            duration = timedelta(seconds=parse_duration(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        except OverflowError:
            duration = timedelta.max
        if duration > _LONGEST:
            self.fail(f"{value!r} is longer than a century", param, ctx)
        return duration
