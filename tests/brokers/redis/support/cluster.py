"""A Redis Cluster for tests."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.brokers.redis.support.ports import free_port
from tests.brokers.redis.support.servers import RedisServer
from tests.until import until

SLOTS = 16_384
#: Milliseconds after which a node that does not reply counts as failed.
NODE_TIMEOUT = 1000


class Node(RedisServer):
    """One node of a cluster."""

    def __init__(self, folder: Path, *options: str, **others: Any) -> None:
        super().__init__(folder, *options, **others)
        self.bus = free_port()

    def _ports(self) -> list[str]:
        return [
            *super()._ports(),
            f"cluster-port {self.bus}",
            "cluster-enabled yes",
            "cluster-config-file nodes.conf",
            f"cluster-node-timeout {NODE_TIMEOUT}",
        ]

    def _move(self) -> None:
        super()._move()
        self.bus = free_port()

    @property
    def id(self) -> str:
        return str(self.cli("CLUSTER", "MYID"))

    def info(self) -> dict[str, str]:
        """Its view of the cluster."""
        lines = str(self.cli("CLUSTER", "INFO")).split()
        return {name: value for name, _, value in (line.partition(":") for line in lines)}


class RedisCluster:
    """Masters that share all slots, and `replicas` of each. `nodes` holds the masters first.

    `options` and `others` are what `RedisServer` takes. It takes 2 s to start: so long does a new master wait
    before it trusts what it knows.
    """

    def __init__(self, folder: Path, *options: str, nodes: int = 3, replicas: int = 0, **others: Any) -> None:
        self.masters = nodes
        self.nodes = [
            Node(folder / f"node-{number}", *options, **others) for number in range(nodes * (1 + replicas))
        ]

    @property
    def urls(self) -> list[str]:
        """The URL of each node."""
        return [node.url for node in self.nodes]

    @property
    def url(self) -> str:
        """The URL of the cluster, which names all masters."""
        places = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[: self.masters])
        return f"redis+cluster://{places}"

    def start(self) -> Self:
        """Return when every node can reach every slot."""
        for node in self.nodes:
            node.start()
        ends = [SLOTS * number // self.masters for number in range(self.masters + 1)]
        for number, node in enumerate(self.nodes):
            node.cli("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if number < self.masters:
                node.cli("CLUSTER", "ADDSLOTSRANGE", ends[number], ends[number + 1] - 1)
        for node in self.nodes:
            for other in self.nodes[: self.nodes.index(node)]:
                node.cli("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)
        until("the nodes know each other", lambda: all(self._knows_all(node) for node in self.nodes))
        for number, replica in enumerate(self.nodes[self.masters :]):
            replica.cli("CLUSTER", "REPLICATE", self.nodes[number % self.masters].id)
        self.wait_until_whole()
        return self

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def kill(self, number: int) -> None:
        self.nodes[number].kill()

    def restart(self, number: int) -> None:
        self.nodes[number].restart()

    def flush(self) -> None:
        """Delete all data and all scripts."""
        for node in self.running:
            if self.is_master(node):
                node.flush()

    @property
    def running(self) -> list[Node]:
        return [node for node in self.nodes if node.running]

    @staticmethod
    def is_master(node: Node) -> bool:
        return bool(node.cli("ROLE")[0] == "master")

    def wait_until_whole(self) -> None:
        """Wait until every node knows the master and replicas of every slot."""
        until("every node reaches every slot", lambda: all(map(self._sees_all, self.running)))

    def _knows_all(self, node: Node) -> bool:
        return node.info()["cluster_known_nodes"] == str(len(self.nodes)) and "handshake" not in node.cli(
            "CLUSTER", "NODES"
        )

    def _sees_all(self, node: Node) -> bool:
        info = node.info()
        if (info["cluster_state"], info["cluster_slots_ok"]) != ("ok", str(SLOTS)):
            return False
        slots = node.cli("CLUSTER", "SLOTS")
        return sum(len(served) - 2 for served in slots) == len(self.running)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
