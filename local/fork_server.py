"""`python -m local.fork_server FD MODULE ...`: starts programs of ours as forks of itself.

An interpreter imports for a second or two before it does anything, and then has for itself alone
what all the others have, too. This one imports what is named once: what is forked from it begins
at once, and shares all that it does not change.

It has one thread, and does nothing but what it is asked over the socket FD, an object of JSON a
line: for an `Order` it answers `began` with a pid, or `failed` with why; later it says that pid
`ended`, and its `code`. A fork waits until it is told to `go`: whoever ordered it knows it by then,
or is gone, and so is the fork. When the socket closes it ends; what it has let go goes on.
"""

from __future__ import annotations

import process.starting  # its effect: it, and what was just forked, ends quietly when it is told to

# isort: split
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from setproctitle import setproctitle

if TYPE_CHECKING:
    from collections.abc import Iterator

# Imported anew by each program, as the first thing: what they do takes effect then.
_FOR_EACH: Final = "process.starting"
_MAIN: Final = ".__main__"
_RECEIVED_MAX: Final = 65_536


@dataclass(frozen=True, slots=True)
class Order:
    """What `python -m MODULE ARGUMENTS` is to be run, where, how nicely, and where it prints to."""

    module: str
    arguments: list[str]
    directory: str
    environment: dict[str, str]
    log: str
    niceness: int = 0


def main() -> None:
    """Until the socket closes; in each fork, what was ordered."""
    descriptor, *modules = sys.argv[1:]
    _warm(modules)
    order = _Server(socket.socket(fileno=int(descriptor))).serve()
    if order is not None:
        _become(order)


def _warm(modules: list[str]) -> None:
    """Import them, and have the collector never look at what they are made of."""
    # It would write into objects that are to be shared, whenever it looks.
    gc.disable()
    for each in modules:
        try:
            importlib.import_module(each)
        except (Exception, SystemExit):  # noqa: BLE001 - whatever it raises
            # Who needs it says so itself, in its own log; the others do without.
            traceback.print_exc()
    gc.collect()
    gc.freeze()


class _Server:
    def __init__(self, asker: socket.socket) -> None:
        self._asker = asker
        self._poll = select.poll()
        self._poll.register(asker, select.POLLIN)
        # The pids of those that live, by what tells of their end.
        self._living: dict[int, int] = {}
        # What lets those begin that wait, by their pids.
        self._waiting: dict[int, int] = {}
        self._rest = b""

    def serve(self) -> Order | None:
        """What this process is to be, in a fork; None when nobody asks any more."""
        while True:
            for ready, _ in self._poll.poll():
                try:
                    if ready in self._living:
                        self._say_ended(ready)
                        continue
                    lines = self._asked()
                    if lines is None:
                        return None
                    for line in lines:
                        if (order := self._told(json.loads(line))) is not None:
                            return order
                except ConnectionError:
                    return None

    def _asked(self) -> list[bytes] | None:
        received = self._asker.recv(_RECEIVED_MAX)
        if not received:
            return None
        *lines, self._rest = (self._rest + received).split(b"\n")
        return lines

    def _told(self, said: dict[str, Any]) -> Order | None:
        """Do it; the order in a fork, and None here."""
        if (pid := said.get("go")) is None:
            return self._forked(Order(**said))
        if (opener := self._waiting.pop(pid, None)) is not None:
            with suppress(BrokenPipeError):  # it was killed meanwhile
                os.write(opener, b"!")
            os.close(opener)
        return None

    def _forked(self, order: Order) -> Order | None:
        try:
            with Path(order.log).open("ab") as log:
                gate, opener = os.pipe()
                try:
                    with _signals_wait():
                        pid = os.fork()
                except OSError:
                    os.close(gate)
                    os.close(opener)
                    raise
                if pid == 0:
                    self._begin(log.fileno(), gate, opener)
                    return order
            os.close(gate)
            self._waiting[pid] = opener
            # Both do, whoever is first: nobody is to learn of it while it is of our group.
            with suppress(OSError):
                os.setpgid(pid, pid)
            self._watch(pid)
        except OSError as error:
            self._say(failed=str(error))
        else:
            self._say(began=pid)
        return None

    def _begin(self, log: int, gate: int, opener: int) -> None:
        """In a fork: be alone, and wait until whoever ordered it knows of it, or is gone."""
        try:
            os.setpgid(0, 0)
            os.close(opener)
            self._asker.close()
            for each in (self._living, self._waiting.values()):
                for descriptor in each:
                    os.close(descriptor)
            _redirect(log)
            is_wanted = os.read(gate, 1)
            os.close(gate)
        except BaseException:  # noqa: BLE001 - it must never be a second server
            os._exit(1)
        if not is_wanted:
            os._exit(0)

    def _watch(self, pid: int) -> None:
        try:
            end = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(self._waiting.pop(pid))
            raise
        self._living[end] = pid
        self._poll.register(end, select.POLLIN)

    def _say_ended(self, end: int) -> None:
        pid = self._living.pop(end)
        self._poll.unregister(end)
        os.close(end)
        if (opener := self._waiting.pop(pid, None)) is not None:
            os.close(opener)
        _, status = os.waitpid(pid, 0)
        self._say(ended=pid, code=os.waitstatus_to_exitcode(status))

    def _say(self, **said: int | str) -> None:
        self._asker.sendall(json.dumps(said).encode() + b"\n")


@contextmanager
def _signals_wait() -> Iterator[None]:
    """What comes meanwhile comes behind it: Python forgets in a child what comes as it begins."""
    was = signal.pthread_sigmask(signal.SIG_BLOCK, process.starting.SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, was)


def _redirect(log: int) -> None:
    with Path(os.devnull).open("rb") as nothing:
        for target, source in enumerate((nothing.fileno(), log, log)):
            os.dup2(source, target)


def _become(order: Order) -> None:
    """What `python -m` would be."""
    title = " ".join(["python", "-m", order.module, *order.arguments])
    # It finds its place behind the environment, and so before that is another.
    setproctitle(os.fsencode(title).decode(errors="replace"))
    os.chdir(order.directory)
    os.environ.clear()
    os.environ.update(order.environment)
    for each in [name for name in sys.modules if name.endswith(_MAIN) or name == _FOR_EACH]:
        del sys.modules[each]
    gc.enable()
    os.nice(order.niceness)
    sys.argv[1:] = order.arguments
    runpy.run_module(order.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
