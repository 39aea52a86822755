"""A click parameter type for durations as the settings take them: `24h`, `1m30s`, `500ms`."""

from datetime import timedelta

import click

from process.sections import parse_duration


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
            return timedelta(seconds=parse_duration(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)
