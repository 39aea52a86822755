"""What a process of ours allows itself, whatever the shell it was started from says."""

import resource
import subprocess
import sys

_PROGRAM = """
import resource, sys
from process import event_loop

async def main():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

resource.setrlimit(resource.RLIMIT_NOFILE, (256, int(sys.argv[1])))
print(event_loop.run(main()))
"""


def test_as_many_files_as_the_hard_limit_allows() -> None:
    """A thousand calls to a provider are a thousand sockets; a shell's usual limit is 256."""
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    hard = 4000 if allowed == resource.RLIM_INFINITY else min(allowed, 4000)
    ended = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _PROGRAM, str(hard)], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) == hard
