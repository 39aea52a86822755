"""`python -m tests.support.simulator.forgetful`: a simulator that has nearly nothing in memory."""

from functools import partial
from unittest.mock import patch

from simulator.__main__ import main
from simulator.server import SimulatorConfig
from tests.support.simulator.spills import FEWEST

if __name__ == "__main__":
    few = partial(SimulatorConfig, hot_max=FEWEST)
    with patch("simulator.__main__.SimulatorConfig", few):
        main()
