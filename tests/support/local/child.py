"""A small program to be supervised: `child.py FOLDER NAME [MANNER ...]`.

Its manners: stubborn, broken, slow-to-stop, taken (its port), listening PORT.

It writes its pid to NAME.ready when it is ready, and its name to `ended` when it stops in order.
"""

import os
import signal
import socket
import sys
import time
from pathlib import Path

folder, name, *manner = sys.argv[1:]
place = Path(folder)


def end(*_: object) -> None:
    if "slow-to-stop" in manner:
        time.sleep(0.3)
    with (place / "ended").open("a") as ended:
        ended.write(f"{name}\n")
    sys.exit(0)


if "broken" in manner:
    sys.exit("I cannot find my configuration")
if "taken" in manner:
    sys.exit("[Errno 98] error while attempting to bind: address already in use")
if "listening" in manner:
    listener = socket.create_server(("127.0.0.1", int(manner[-1])))
signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in manner else end)
(place / f"{name}.ready").write_text(str(os.getpid()))
while True:
    signal.pause()
