"""The machine's environment without what would decide a test: `PAYMENTS_*`, and a `.env` file."""

import os

from local.embedded import jars

# Read no file, whichever a developer has in this folder.
NO_ENV_FILE = {"PAYMENTS_ENV_FILE": ""}


def bare() -> dict[str, str]:
    """For processes whose variables a test sets all itself; where jars are is the machine's."""
    others = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("PAYMENTS_") or name in jars.VARIABLES
    }
    return others | NO_ENV_FILE
