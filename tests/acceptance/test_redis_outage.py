"""Redis goes away under load, in each of the ways it can, and comes back: workers go on by themselves within 5 s,
nothing is lost, and nothing runs again that was settled.

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
from tests.acceptance.harness import Stage, children, until
from tests.acceptance.places import Place, RedisPlace
from tests.brokers.redis.support.cluster import RedisCluster
from tests.brokers.redis.support.sentinels import RedisSentinels
from tests.brokers.redis.support.servers import RedisServer

#: How long Redis is away, in seconds.
OUTAGE = float(os.environ.get("ASYNQIO_OUTAGE", "4"))
#: How soon after its return everybody works again, in seconds.
RESUME = 5.0
#: Tasks per second.
RATE = 300
#: Shorter than the outage: all leases have lapsed when it is over, and yet nobody is to be taken for dead.
LEASE = 2.0
#: Seconds that an answer, a connection and a call may take where Redis is frozen for longer than all of them.
HASTE = 0.5
#: The node of three that the queue "default" is on, and a queue that is on another.
DEFAULT, OTHER = 1, "other"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 2 * OUTAGE)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that forgets nothing that it has answered for."""
    with RedisServer(tmp_path / "redis", aof="always") as made:
        yield made


@pytest.fixture
def options() -> str:
    """What the URL says beside the place."""
    return ""


@pytest.fixture
def place(server: RedisServer, options: str) -> Place:
    return RedisPlace(server.url + options, [server])


class Load:
    """Two workers and a producer in full swing, and what must have become of it all."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        self.stage = stage
        settings = {"concurrency": 20, "lease": LEASE, **options}
        self.workers = [stage.worker(**settings) for _ in range(2)]
        self.producer = stage.start("producer", tasks=10_000_000, rate=RATE, chunk=20, longest=0.05)
        self.producer.wait_to_say(f"acknowledged {RATE}")

    def wait_until_all_work(self, since: float) -> float:
        """Until each worker has begun a task after this moment: how long the last one took."""
        starts: list[float] = until("every worker works", lambda: self._first_starts(since), timeout=60)
        return max(starts) - since

    def _first_starts(self, since: float) -> list[float]:
        first: dict[int, float] = {}
        for line in self.stage.journal.lines("start"):
            if line.at > since:
                first.setdefault(line.pid, line.at)
        return list(first.values()) if len(first) == len(self.workers) else []

    def finish(self, *, timeout: float = 60) -> None:
        """Until the producer has been heard again, and everything is done that it brought in."""
        journal, now = self.stage.journal, time.time()
        until("the producer goes on", lambda: journal.lines("accepted")[-1].at > now)
        self.producer.kill()
        until("everything is done", lambda: self.stage.stats().size == 0, timeout=timeout)
        for worker in self.workers:
            worker.terminate()

    def check_nobody_noticed(self, gone_at: float, others: Sequence[str] = ()) -> None:
        """Everything that was accepted ran, and nothing was refused, stolen, failed, or run twice."""
        stage, starts = self.stage, self.stage.journal.starts()
        assert stage.journal.ids("accepted") <= stage.journal.ids("end")
        twice = {id for id, times in starts.items() if times > 1}
        assert twice <= self._offered(gone_at)
        said = stage.everything_said()
        assert "left by a dead server" not in said
        assert "lost its lease" not in said
        assert "has not run Python" not in said
        cards = [stage.last_card(worker) for worker in self.workers]
        assert [(card.refused, card.failed) for card in cards] == [(0, 0)] * len(cards)
        stats = [stage.inspector.queue(queue) for queue in ("default", *others)]
        assert [(queue.size, queue.failed_total) for queue in stats] == [(0, 0)] * len(stats)
        assert sum(queue.processed_total for queue in stats) == starts.total()

    def _offered(self, gone_at: float) -> set[str]:
        """What producers had offered when Redis went away: the first two calls that were acknowledged after that, for
        the word of the first may just have been on its way.

        They are stored for sure because they are offered again. What was stored the first time, and had run and was
        gone before the second, cannot be known for the same: it runs twice.
        """
        calls: dict[int, set[float]] = {}
        offered = set()
        for line in self.stage.journal.lines("accepted"):
            if line.at > gone_at:
                first = calls.setdefault(line.pid, set())
                if len(first) < 2 or line.at in first:
                    first.add(line.at)
                    offered.add(line.id)
        return offered


def stored(server: RedisServer, folder: Path) -> set[str]:
    """The tasks that a server which is away will still have when it is back."""
    shutil.copytree(server.folder / "appendonlydir", folder / "appendonlydir")
    with RedisServer(folder, aof="always") as copy:
        return {key.rpartition(":t:")[2] for key in copy.cli("KEYS", "asynq:{default}:t:*")}


def seconds_of_cpu(pids: list[int]) -> float:
    """What these processes have used so far."""
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_workers_resume_and_nothing_runs_twice(
    stage: Stage, server: RedisServer, tmp_path: Path, end: str
) -> None:
    load = Load(stage)
    getattr(server, end)()
    gone_at = time.time()
    settled = stage.journal.ids("accepted") - stored(server, tmp_path / "copy")
    pids = [pid for worker in load.workers for pid in (worker.pid, *children(worker.pid))]
    used = -seconds_of_cpu(pids)
    time.sleep(OUTAGE)  # nothing happens in it: that is the point
    used += seconds_of_cpu(pids)

    server.start()
    took = load.wait_until_all_work(time.time())
    load.finish()

    print(
        f"\n{end}: away for {time.time() - gone_at:.0f} s, all work again after {took:.1f} s; "
        f"{len(stage.journal.ids('accepted'))} tasks, {len(settled)} of them settled before; "
        f"{used / OUTAGE:.1%} of a core used for waiting"
    )
    assert len(settled) > 100
    again = {line.id for line in stage.journal.lines("start") if line.at > gone_at}
    assert not again & settled
    assert took < RESUME
    assert used < 0.1 * OUTAGE, "waiting costs next to nothing"
    load.check_nobody_noticed(gone_at)


@pytest.mark.parametrize("options", [f"?timeout={HASTE}&connect_timeout={HASTE}&patience={HASTE}"])
def test_a_server_that_is_frozen_for_longer_than_anybody_waits(stage: Stage, server: RedisServer) -> None:
    """It will do what it was sent before, when nobody expects that any more."""
    load = Load(stage)
    stage.client.enqueue_many(tasks.brief.task(0.5) for _ in range(10))  # they end while it is frozen
    server.pause()
    gone_at = time.time()
    time.sleep(OUTAGE)  # longer than the time-outs, the lease, and the patience of everybody
    server.unpause()

    took = load.wait_until_all_work(time.time())
    load.finish()

    print(f"\nfrozen for {OUTAGE:.0f} s, all work again after {took:.1f} s")
    assert took < RESUME
    load.check_nobody_noticed(gone_at)


def test_sentinels_promote_another_master(tmp_path: Path) -> None:
    """A replica may lack the last moments of a master that died, so it is only asked for what came later."""
    with RedisSentinels(tmp_path / "redis", aof="always") as group:
        replica = group.servers[1]
        stage = Stage(RedisPlace(group.url, [replica]), tmp_path)
        with contextlib.closing(stage):
            load = Load(stage)
            group.kill_master()
            until("the other one is the master", lambda: group.master() is replica)
            until("it knows it", lambda: replica.cli("ROLE")[0] == "master")
            promoted_at = time.time()

            took = load.wait_until_all_work(promoted_at)
            back_at = time.time()
            load.finish()

            journal = stage.journal
            accepted = {line.id: line.at for line in journal.lines("accepted")}
            lost = accepted.keys() - journal.ids("end")
            twice = sum(count > 1 for count in journal.starts().values())
            print(
                f"\nall work again {took:.1f} s after the promotion; {len(accepted)} tasks, {len(lost)} "
                f"lost with the old master, {twice} run twice"
            )
            assert took < RESUME
            assert not {id for id in lost if accepted[id] > back_at}
            assert stage.place.owners() == []


def test_a_master_of_a_cluster_comes_back(tmp_path: Path) -> None:
    with RedisCluster(tmp_path / "redis", aof="always") as cluster:
        stage = Stage(RedisPlace(cluster.url, cluster.nodes), tmp_path)
        with contextlib.closing(stage):
            load = Load(stage)
            cluster.kill(DEFAULT)
            gone_at = time.time()
            time.sleep(OUTAGE)  # the others notice, and stop as well: not every slot is served
            cluster.restart(DEFAULT)
            cluster.wait_until_whole()

            took = load.wait_until_all_work(time.time())
            load.finish()

            print(f"\na master was away for {OUTAGE:.0f} s, all work again {took:.1f} s after its return")
            assert took < RESUME
            load.check_nobody_noticed(gone_at)


def test_a_master_that_is_away_holds_up_no_queue_of_another(tmp_path: Path) -> None:
    with RedisCluster(tmp_path / "redis", "cluster-require-full-coverage no", aof="always") as cluster:
        stage = Stage(RedisPlace(cluster.url, cluster.nodes), tmp_path)
        with contextlib.closing(stage):
            # Renewals of the others wait for the one that does not answer, so this lease is a longer one.
            load = Load(stage, lease=15.0, queues={"default": 1, OTHER: 1})
            other = stage.start("producer", tasks=10_000_000, rate=RATE, chunk=20, longest=0.05, queue=OTHER)
            other.wait_to_say(f"acknowledged {RATE}")
            cluster.kill(DEFAULT)
            gone_at = time.time()
            until(
                "the other queue goes on",
                lambda: stage.journal.lines("accepted")[-1].at > gone_at + OUTAGE / 2,
                timeout=OUTAGE + 30,
            )
            other.kill()
            until("all of it is done and settled", lambda: stage.inspector.queue(OTHER).size == 0, timeout=10)
            print(f"\nthe other queue is empty {time.time() - gone_at:.1f} s after the kill")
            time.sleep(max(0.0, gone_at + OUTAGE - time.time()))
            cluster.restart(DEFAULT)
            cluster.wait_until_whole()

            took = load.wait_until_all_work(time.time())
            load.finish()

            print(f"a master was away for {OUTAGE:.0f} s, all work again {took:.1f} s after its return")
            assert took < RESUME
            load.check_nobody_noticed(gone_at, [OTHER])


class Door:
    """Stands in for a server that is away: it lets everybody in, throws him out, and counts."""

    def __init__(self, port: int) -> None:
        self.knocks = 0
        self._socket = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._turn_away, name="door")
        self._thread.start()

    def _turn_away(self) -> None:
        while True:
            try:
                guest, _ = self._socket.accept()
            except OSError:
                return
            self.knocks += 1
            guest.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


def test_who_waits_for_a_server_knocks_once_a_second(stage: Stage, server: RedisServer) -> None:
    worker = stage.worker(lease=LEASE)
    server.stop()
    door = Door(server.port)
    pids = [worker.pid, *children(worker.pid)]
    used = -seconds_of_cpu(pids)
    time.sleep(OUTAGE)  # nothing is to happen in it
    used += seconds_of_cpu(pids)
    door.close()
    server.start()
    print(f"\n{door.knocks} knocks and {used:.2f} s of CPU in {OUTAGE:.0f} s")
    # Five connections: the server's, its push connection, its heartbeat's, and two of this test. Each starts with
    # short delays, some six in the first second, and ends with delays of half a second to a second.
    assert 5 <= door.knocks <= 5 * (6 + 2 * OUTAGE)
    assert used < 0.1 * OUTAGE
    stage.client.enqueue(tasks.brief.task())
    until("the task is done", lambda: stage.journal.lines("end"))
