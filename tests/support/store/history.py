"""History that a test may archive though it was made a moment ago."""

from typing import Final

# As if every month were over: the database refuses to take out one that is not.
AS_IF_OVER: Final = "ALTER TABLE archived_history DROP CONSTRAINT archived_history_is_over"
