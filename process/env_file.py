"""The `.env` file of the current folder: variables for every process and every command.

What the environment has already stays. Only what is ours is taken, and what leads through a proxy,
so that the file of another program in the same folder changes nothing. A value stands for itself:
a `$` in a password is a `$`.
"""

import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

from dotenv.parser import Original, parse_stream

FILE: Final = ".env"
# Names another file than `.env`; set to nothing, none is read.
VARIABLE: Final = "PAYMENTS_ENV_FILE"
_OURS: Final = re.compile("PAYMENTS_[A-Z0-9_]+|(https?|no|HTTPS?|NO)_(proxy|PROXY)")


def take_env_file(environment: MutableMapping[str, str]) -> list[str]:
    """Add what the file says to the environment; one sentence for each thing wrong with it."""
    name = environment.get(VARIABLE, FILE)
    if not name:
        return []
    try:
        with Path(name).open(encoding="utf-8") as file:
            lines = list(parse_stream(file))
    except FileNotFoundError:
        return [f"{VARIABLE}: there is no file {name}."] if VARIABLE in environment else []
    except (OSError, UnicodeDecodeError) as error:
        return [f"{name} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}."]
    for line in lines:
        if line.key and line.value and _OURS.fullmatch(line.key):
            environment.setdefault(line.key, line.value)
    return [
        f"{name}, line {_number(line.original)}: expected NAME=value."
        for line in lines
        if line.error or (line.key and line.value is None)
    ]


def _number(statement: Original) -> int:
    """Its line, counted from 1; what stands before it belongs to it."""
    text = statement.string
    return statement.line + text[: len(text) - len(text.lstrip())].count("\n")
