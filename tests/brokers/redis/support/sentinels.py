"""A master with a replica, monitored by three sentinels."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.brokers.redis.support.servers import RedisServer
from tests.until import until

NAME = "mymaster"
#: Milliseconds without a reply after which the master counts as down.
DOWN_AFTER = 500
#: The interval of the sentinels in milliseconds; in production 1 to 10 s. They trust replica information for 5 pings,
#: and refresh it once per second while the master is down: below 200 ms they find no candidate.
PERIODS = {"info-period": 100, "ping-period": 400, "ask-period": 100, "publish-period": 100}


class Sentinel(RedisServer):
    """One of three sentinels."""

    def __init__(self, folder: Path, master: RedisServer, *options: str, **others: Any) -> None:
        super().__init__(folder, *options, **others)
        self._master = master

    def _command(self, program: str) -> list[str]:
        return [*super()._command(program), "--sentinel"]

    def _lines(self) -> list[str]:
        return [
            "bind 127.0.0.1",
            *self._ports(),
            f"unixsocket {self.socket}",
            f"dir {self.folder}",
            f"sentinel monitor {NAME} 127.0.0.1 {self._master.port} 2",
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER}",
            f"sentinel failover-timeout {NAME} 1000",
            *self._options,
        ]

    def start(self) -> Self:
        super().start()
        self.cli("SENTINEL", "DEBUG", *(word for period in PERIODS.items() for word in period))
        return self

    def master_port(self) -> int:
        """The master, according to this sentinel."""
        return int(self.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def knows(self, what: str) -> int:
        """The number of healthy "replicas", or other "sentinels", that it knows."""
        found = [dict(one) for one in self.cli("SENTINEL", what, NAME)]
        return sum("down" not in one["flags"] and "disconnected" not in one["flags"] for one in found)


class RedisSentinels:
    """`servers` are the first master and its replica. `options` and `others` are passed to `RedisServer`."""

    def __init__(self, folder: Path, *options: str, **others: Any) -> None:
        self.servers = [RedisServer(folder / f"server-{number}", *options, **others) for number in range(2)]
        self.sentinels = [Sentinel(folder / f"sentinel-{number}", self.servers[0]) for number in range(3)]

    @property
    def url(self) -> str:
        """The URL of all sentinels, with the name of the master."""
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/{NAME}"

    def start(self) -> Self:
        """Return when each sentinel knows the replica and the other sentinels."""
        master, replica = self.servers
        master.start()
        replica.start()
        replica.cli("REPLICAOF", "127.0.0.1", master.port)
        until("the replica has its master's data", lambda: replica.cli("ROLE")[3] == "connected")
        for sentinel in self.sentinels:
            sentinel.start()
        until("the sentinels know each other", lambda: all(map(self._ready, self.sentinels)))
        return self

    def stop(self) -> None:
        for server in [*self.sentinels, *self.servers]:
            server.stop()

    def master_port(self) -> int:
        """Who is the master, as most sentinels say."""
        ports = sorted(sentinel.master_port() for sentinel in self.sentinels)
        return ports[len(ports) // 2]

    def master(self) -> RedisServer:
        """Who is the master, as most sentinels say."""
        port = self.master_port()
        return next(server for server in self.servers if server.port == port)

    def kill_master(self) -> None:
        """Kill the master. The sentinels promote the replica in about 1 s."""
        self.master().kill()

    @staticmethod
    def _ready(sentinel: Sentinel) -> bool:
        return sentinel.knows("replicas") == 1 and sentinel.knows("sentinels") == 2

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
