"""A process is named by what it was told to be, whichever revision it is of."""

from __future__ import annotations

import pytest

from bench.processes import name_of


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["/x/bin/python", "-m", "api"], "api"),
        (["/x/bin/python", "-m", "agents", "charge", "--member", "local"], "agents charge"),
        (["/x/bin/python", "-m", "topics.relay", "--sink", "kafka"], "topics.relay kafka"),
        (["/x/bin/python", "-m", "local.fork_server", "9", "api.__main__"], "local.fork_server 9"),
        (["/x/bin/postgres", "-D", "/data"], "postgres"),
        (["/x/bin/java", "-Xmx256m", "kafka.Kafka"], "java"),
        (["valkey-server 127.0.0.1:6379", "", ""], "valkey-server"),
        ([], "unknown"),
    ],
)
def test_a_process_is_named_by_what_it_does(command: list[str], name: str) -> None:
    assert name_of(command) == name
