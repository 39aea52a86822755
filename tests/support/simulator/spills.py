"""Files for what a vendor does not keep in memory, which leave nothing behind."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from simulator.spill import HOT_MAX, Spill

# The fewest that can be: whatever is asked for a second time comes from the file.
FEWEST: Final = 3


def spill(hot_max: int = HOT_MAX) -> Spill:
    with TemporaryDirectory() as directory:
        return Spill(Path(directory) / "spill", hot_max)
