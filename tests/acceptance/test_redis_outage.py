"""Redis fails under load in different ways and returns: workers continue within 5 s,
no task is lost, and no settled task runs again.

`ASYNQIO_OUTAGE=60` is the full size.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import tasks
from tests.acceptance.harness import Deployment, children, until
from tests.acceptance.stores import RedisProbe, StoreProbe
from tests.brokers.redis.support.cluster import RedisCluster
from tests.brokers.redis.support.sentinels import RedisSentinels
from tests.brokers.redis.support.servers import RedisServer, password

#: Seconds for which Redis is unavailable.
OUTAGE = float(os.environ.get("ASYNQIO_OUTAGE", "4"))
#: Seconds within which all workers must continue after its return.
RESUME = 5.0
#: Tasks per second.
RATE = 300
#: Shorter than the outage: all leases have expired at its end, but no worker may be considered dead.
LEASE = 2.0
#: Timeouts in seconds of a response, a connection and a call in the test with a frozen Redis.
SHORT_TIMEOUT = 0.5
#: The cluster node with the queue "default", and a queue on another node.
DEFAULT, OTHER = 1, "other"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 2 * OUTAGE)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that persists each write before it replies."""
    with RedisServer(tmp_path / "redis", aof="always") as made:
        yield made


@pytest.fixture
def options() -> str:
    """Options for the URL."""
    return ""


@pytest.fixture
def store(server: RedisServer, options: str) -> StoreProbe:
    return RedisProbe(server.url + options, [server])


class Load:
    """Two workers and a producer under load, with checks of the result."""

    def __init__(self, deployment: Deployment, **options: Any) -> None:
        self.deployment = deployment
        settings = {"concurrency": 20, "lease": LEASE, **options}
        self.workers = [deployment.worker(**settings) for _ in range(2)]
        self.producer = deployment.start("producer", tasks=10_000_000, rate=RATE, chunk=20, longest=0.05)
        self.producer.wait_for_log(f"acknowledged {RATE}")

    def wait_until_all_work(self, since: float) -> float:
        """Wait until each worker has started a task after `since`; return the seconds until the last one did."""
        starts: list[float] = until("every worker runs a task", lambda: self._first_starts(since), timeout=60)
        return max(starts) - since

    def _first_starts(self, since: float) -> list[float]:
        first: dict[int, float] = {}
        for line in self.deployment.executions.lines("start"):
            if line.at > since:
                first.setdefault(line.pid, line.at)
        return list(first.values()) if len(first) == len(self.workers) else []

    def finish(self, *, timeout: float = 60) -> None:
        """Wait until the producer continues, stop it, and wait until all its tasks are done."""
        executions, now = self.deployment.executions, time.time()
        until("the producer continues", lambda: executions.lines("accepted")[-1].at > now)
        self.producer.kill()
        until("everything is done", lambda: self.deployment.stats().size == 0, timeout=timeout)
        for worker in self.workers:
            worker.terminate()

    def check_no_side_effects(self, gone_at: float, others: Sequence[str] = ()) -> None:
        """Each accepted task ran, and none was rejected, recovered, failed or run twice."""
        deployment, starts = self.deployment, self.deployment.executions.starts()
        assert deployment.executions.ids("accepted") <= deployment.executions.ids("end")
        twice = {id for id, times in starts.items() if times > 1}
        assert twice <= self._sent_during_failure(gone_at)
        logs = deployment.all_logs()
        assert "left by a dead server" not in logs
        assert "lost its lease" not in logs
        assert "has not run Python" not in logs
        infos = [deployment.final_info(worker) for worker in self.workers]
        assert [(info.refused, info.failed) for info in infos] == [(0, 0)] * len(infos)
        stats = [deployment.inspector.queue(queue) for queue in ("default", *others)]
        assert [(queue.size, queue.failed_total) for queue in stats] == [(0, 0)] * len(stats)
        assert sum(queue.processed_total for queue in stats) == starts.total()

    def _sent_during_failure(self, gone_at: float) -> set[str]:
        """The tasks that producers were sending when Redis failed.

        These are the first two calls acknowledged afterwards, because the acknowledgement of the first may have been
        in flight.

        These calls are sent again to be sure. A task that was stored the first time, and had run and was deleted
        before the second, cannot be recognised: it runs twice.
        """
        calls: dict[int, set[float]] = {}
        sent = set()
        for line in self.deployment.executions.lines("accepted"):
            if line.at > gone_at:
                first = calls.setdefault(line.pid, set())
                if len(first) < 2 or line.at in first:
                    first.add(line.at)
                    sent.add(line.id)
        return sent


def stored(server: RedisServer, folder: Path) -> set[str]:
    """The tasks that a stopped server will have after its restart."""
    shutil.copytree(server.folder / "appendonlydir", folder / "appendonlydir")
    with RedisServer(folder, aof="always") as copy:
        return {key.rpartition(":t:")[2] for key in copy.cli("KEYS", "asynq:{default}:t:*")}


def seconds_of_cpu(pids: list[int]) -> float:
    """The CPU time of these processes in seconds."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_workers_resume_and_nothing_runs_twice(
    deployment: Deployment, server: RedisServer, tmp_path: Path, end: str
) -> None:
    load = Load(deployment)
    getattr(server, end)()
    gone_at = time.time()
    settled = deployment.executions.ids("accepted") - stored(server, tmp_path / "copy")
    pids = [pid for worker in load.workers for pid in (worker.pid, *children(worker.pid))]
    used = -seconds_of_cpu(pids)
    time.sleep(OUTAGE)  # the length of the outage
    used += seconds_of_cpu(pids)

    server.start()
    took = load.wait_until_all_work(time.time())
    load.finish()

    print(
        f"\n{end}: away for {time.time() - gone_at:.0f} s, all work again after {took:.1f} s; "
        f"{len(deployment.executions.ids('accepted'))} tasks, {len(settled)} of them settled before; "
        f"{used / OUTAGE:.1%} of a core used for waiting"
    )
    assert len(settled) > 100
    again = {line.id for line in deployment.executions.lines("start") if line.at > gone_at}
    assert not again & settled
    assert took < RESUME
    assert used < 0.1 * OUTAGE, "waiting costs next to nothing"
    load.check_no_side_effects(gone_at)


@pytest.mark.parametrize(
    "options", [f"?timeout={SHORT_TIMEOUT}&connect_timeout={SHORT_TIMEOUT}&patience={SHORT_TIMEOUT}"]
)
def test_a_server_is_frozen_for_longer_than_all_timeouts(deployment: Deployment, server: RedisServer) -> None:
    """It executes earlier commands late, after their timeouts."""
    load = Load(deployment)
    deployment.client.enqueue_many(tasks.brief.task(0.5) for _ in range(10))  # they end while it is frozen
    server.pause()
    gone_at = time.time()
    time.sleep(OUTAGE)  # longer than all timeouts and the lease
    server.unpause()

    took = load.wait_until_all_work(time.time())
    load.finish()

    print(f"\nfrozen for {OUTAGE:.0f} s, all work again after {took:.1f} s")
    assert took < RESUME
    load.check_no_side_effects(gone_at)


def test_sentinels_promote_another_master(tmp_path: Path) -> None:
    """A replica may lack the last writes of a dead master, so only later tasks are checked."""
    with RedisSentinels(tmp_path / "redis", aof="always") as group:
        replica = group.servers[1]
        deployment = Deployment(RedisProbe(group.url, [replica]), tmp_path)
        with contextlib.closing(deployment):
            load = Load(deployment)
            group.kill_master()
            until("the replica is the master", lambda: group.master() is replica)
            until("the replica reports it", lambda: replica.cli("ROLE")[0] == "master")
            promoted_at = time.time()

            took = load.wait_until_all_work(promoted_at)
            back_at = time.time()
            load.finish()

            executions = deployment.executions
            accepted = {line.id: line.at for line in executions.lines("accepted")}
            lost = accepted.keys() - executions.ids("end")
            twice = sum(count > 1 for count in executions.starts().values())
            print(
                f"\nall work again {took:.1f} s after the promotion; {len(accepted)} tasks, {len(lost)} "
                f"lost with the old master, {twice} run twice"
            )
            assert took < RESUME
            assert not {id for id in lost if accepted[id] > back_at}
            assert deployment.store.owners() == []


def test_a_master_of_a_cluster_comes_back(tmp_path: Path) -> None:
    with RedisCluster(tmp_path / "redis", aof="always") as cluster:
        deployment = Deployment(RedisProbe(cluster.url, cluster.nodes), tmp_path)
        with contextlib.closing(deployment):
            load = Load(deployment)
            cluster.kill(DEFAULT)
            gone_at = time.time()
            time.sleep(OUTAGE)  # the other nodes detect it and stop too, because not all slots are served
            cluster.restart(DEFAULT)
            cluster.wait_until_whole()

            took = load.wait_until_all_work(time.time())
            load.finish()

            print(f"\na master was away for {OUTAGE:.0f} s, all work again {took:.1f} s after its return")
            assert took < RESUME
            load.check_no_side_effects(gone_at)


def test_an_unreachable_master_does_not_block_queues_of_others(tmp_path: Path) -> None:
    with RedisCluster(tmp_path / "redis", "cluster-require-full-coverage no", aof="always") as cluster:
        deployment = Deployment(RedisProbe(cluster.url, cluster.nodes), tmp_path)
        with contextlib.closing(deployment):
            # Renewals wait for the node that does not respond, so this lease is longer.
            load = Load(deployment, lease=15.0, queues={"default": 1, OTHER: 1})
            other = deployment.start(
                "producer", tasks=10_000_000, rate=RATE, chunk=20, longest=0.05, queue=OTHER
            )
            other.wait_for_log(f"acknowledged {RATE}")
            cluster.kill(DEFAULT)
            gone_at = time.time()
            until(
                "the other queue continues",
                lambda: deployment.executions.lines("accepted")[-1].at > gone_at + OUTAGE / 2,
                timeout=OUTAGE + 30,
            )
            other.kill()
            until(
                "all of it is done and settled",
                lambda: deployment.inspector.queue(OTHER).size == 0,
                timeout=10,
            )
            print(f"\nthe other queue is empty {time.time() - gone_at:.1f} s after the kill")
            time.sleep(max(0.0, gone_at + OUTAGE - time.time()))
            cluster.restart(DEFAULT)
            cluster.wait_until_whole()

            took = load.wait_until_all_work(time.time())
            load.finish()

            print(f"a master was away for {OUTAGE:.0f} s, all work again {took:.1f} s after its return")
            assert took < RESUME
            load.check_no_side_effects(gone_at, [OTHER])


class RefusingServer:
    """Replaces an unavailable server: accepts, closes and counts connections."""

    def __init__(self, port: int) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._accept, name="refusing")
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


def test_a_waiting_worker_reconnects_about_once_a_second(deployment: Deployment, server: RedisServer) -> None:
    worker = deployment.worker(lease=LEASE)
    server.stop()
    refusing = RefusingServer(server.port)
    pids = [worker.pid, *children(worker.pid)]
    used = -seconds_of_cpu(pids)
    time.sleep(OUTAGE)  # the length of the outage
    used += seconds_of_cpu(pids)
    refusing.close()
    server.start()
    print(f"\n{refusing.connections} connections and {used:.2f} s of CPU in {OUTAGE:.0f} s")
    # Five connections: commands, push and heartbeat of the server, and two of this test. Each starts with short
    # pauses, about six in the first second, and ends with pauses of half a second to a second.
    assert 5 <= refusing.connections <= 5 * (6 + 2 * OUTAGE)
    assert used < 0.1 * OUTAGE
    deployment.client.enqueue(tasks.brief.task())
    until("the task is done", lambda: deployment.executions.lines("end"))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that knows the user `worker`."""
    with RedisServer(tmp_path / "redis", aof="always", users={"worker": "~* &* +@all"}) as made:
        yield made


@pytest.mark.parametrize("late", [0.0, LEASE / 2], ids=["with its file", "before its file"])
def test_a_rotated_password_loses_no_end(guarded: RedisServer, tmp_path: Path, late: float) -> None:
    """Redis gets a new password, and all connections are closed; workers read it from their file, in time or late."""
    secret = tmp_path / "secret"
    secret.write_text(f"{password('worker')}\n")
    url = f"redis://worker@127.0.0.1:{guarded.port}/0?password_file={secret}"
    deployment = Deployment(RedisProbe(url, [guarded]), tmp_path)
    with contextlib.closing(deployment):
        load = Load(deployment)
        deployment.client.enqueue_many(
            tasks.brief.task(LEASE) for _ in range(10)
        )  # they end after a rotation
        first_at = time.time()
        for rotation in range(3):
            guarded.cli("ACL", "SETUSER", "worker", "resetpass", f">secret {rotation}")
            if late:
                guarded.cli("CLIENT", "KILL", "USER", "worker")
                time.sleep(late)  # the workers are refused for this time
            secret.write_text(f"secret {rotation}")
            guarded.cli("CLIENT", "KILL", "USER", "worker")
            took = load.wait_until_all_work(time.time())
            print(f"\nall work again {took:.1f} s after the rotation")
        load.finish()
        load.check_no_side_effects(first_at)
