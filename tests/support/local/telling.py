"""A program that tells what it finds itself to be: `python -m` this, and a manner if need be.

Its manners: the exit code to end with; `for-ever`; otherwise it ends at once, with 0.
"""

import json
import os
import signal
import sys
from pathlib import Path

# What the fork server of a test imports, and nobody else.
SHARED = "xmlrpc.client"

if __name__ == "__main__":
    manner = sys.argv[1] if len(sys.argv) > 1 else ""
    told = {
        "argv": sys.argv,
        "directory": str(Path.cwd()),
        "variables": {name: os.environ.get(name) for name in ("TOLD", "HOME")},
        "input": sys.stdin.read(),
        "leads_its_group": os.getpgrp() == os.getpid(),
        "is_shared": SHARED in sys.modules,
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "is_main": sys.modules["__main__"].__dict__ is globals(),
    }
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()
    if manner == "for-ever":
        while True:
            signal.pause()
    if manner:
        sys.exit(int(manner))
