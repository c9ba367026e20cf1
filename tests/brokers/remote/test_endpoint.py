"""The gateway's side, against clients that are wrong, slow or gone."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest

from asynqio.brokers import open_broker
from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.results import Cancellation
from asynqio.brokers.contract.signals import Topic, Watch
from asynqio.brokers.memory.broker import MemoryBroker
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.errors import AccessDenied, BrokerUnavailable, CannotStore, PayloadTooLarge, QueueNotFound
from asynqio.gateway.remote.limits import RemoteLimits
from asynqio.testing import Flaky
from tests.brokers.remote.support.gateway import GatewayServer, TestGateway
from tests.brokers.remote.support.raw import RawClient
from tests.builders import entry
from tests.conformance.helpers import ids, put

#: Seconds after which a wait fails: only a broken build gets there.
LIMIT = 30.0


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ([1, "enqueue", "x"], "enqueue: Expected `array`, got `str` - at `entries`"),
        (
            [1, "enqueue", [{"message": {"id": "a"}}]],
            "missing required field `type` - at `entries[0].message`",
        ),
        ([1, "enqueue"], "enqueue: Expected `array` of at least length 3"),
        ([1, "dequeue", ["q"], "many", 1.0, "me", False], "at `limit`"),
        ([1, "renew", [["q", "t", "a", {}]], 1.0], "Expected a token that was given with a lease"),
        ([1, "beat", [None, None], 1.0], "Expected a server or a scheduler - at `info`"),
        ([1, "tasks", {"queue": "q", "state": "odd"}, {}], "at `where.state`"),
        ([1, "tasks", {"queue": "q", "state": "pending"}, {"size": 0}], "size must be at least 1"),
        ([1, "watch", 1, [["pending", "q"], ["ended", "q"]]], "there is no topic 'ended/q'"),
        ([1, "watch", 1, [["cancel"]]], "there is no topic 'cancel'"),
        ([1, "watch", 1, [[]]], "there is no topic ''"),
        ([1, "erase"], "there is no operation 'erase'"),
        ([1, "__aexit__"], "there is no operation '__aexit__'"),
    ],
)
async def test_a_malformed_call_gets_one_error_that_names_the_field(
    gateway: GatewayServer, store: Store, message: list[Any], text: str
) -> None:
    async with RawClient(gateway.port) as client:
        id, answer, (kind, [why], _) = await client.ask(*message)
        assert (id, answer, kind) == (1, None, "BrokerRefused")
        assert text in why
        # and the connection stays
        assert await client.ask(2, "queues") == [2, []]


@pytest.mark.parametrize(
    "message",
    [
        "text",
        7,
        [],
        ["x"],
        [None, "ping"],
        [1.5, "ping"],
        [0],
        [0, "odd"],
        [0, "ack", "x"],
        [0, "cancel"],
        [5],
    ],
)
async def test_a_message_that_is_no_call_gets_a_notice(
    gateway: GatewayServer, store: Store, message: Any
) -> None:
    async with RawClient(gateway.port) as client:
        await client.send(message)
        [[zero, kind, text]] = await client.receive()
        assert (zero, kind) == (0, "error")
        assert text
        assert await client.ask(6, "queues") == [6, []]


@pytest.mark.parametrize(
    "frame", [b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x81\xa1a\x01", b"\x93\x01", "text"]
)
async def test_what_is_no_msgpack_array_ends_the_connection(
    gateway: GatewayServer, store: Store, frame: bytes | str
) -> None:
    async with RawClient(gateway.port) as client, open_broker(gateway.url("ws")) as other:
        await client.send_raw(frame)
        [[zero, kind, text]] = await client.receive()
        assert (zero, kind, text) == (0, "error", "a frame must be a msgpack array of messages")
        assert await client.close_code() == 1007
        await put(other, entry("a"))  # others notice nothing


async def test_random_frames_break_nothing(gateway: GatewayServer, store: Store) -> None:
    dice = random.Random(4711)
    good = msgspec.msgpack.encode([[1, "enqueue", [entry("a")]], [2, "scan", ["q", "pending"], "", 1]])
    async with open_broker(gateway.url("ws")) as other:
        for _ in range(300):
            frame = bytearray(good)
            for _ in range(dice.randint(1, 6)):
                frame[dice.randrange(len(frame))] = dice.randrange(256)
            del frame[dice.randint(1, len(frame)) :]
            async with RawClient(gateway.port) as client:
                await client.send_raw(bytes(frame))
        await other.ping()
    assert len(gateway.app.sessions) <= 300


async def test_deeply_nested_values_are_refused(gateway: GatewayServer, store: Store) -> None:
    async with RawClient(gateway.port) as client:
        await client.send_raw(b"\x91\x93\x00\xa3odd" + b"\x91" * 100_000 + b"\x00")
        [[_, kind, _]] = await client.receive()
        assert kind == "error"


async def test_errors_of_the_store_are_logged_and_not_shown(
    gateway: GatewayServer, caplog: pytest.LogCaptureFixture
) -> None:
    flaky = Flaky(open_broker("memory://"))
    gateway.app.add("ws", flaky.broker)
    async with open_broker(gateway.url("ws")) as broker:
        flaky.fail(1, "queues", error=BrokerUnavailable("/var/lib/secret.db is busy"))
        with pytest.raises(
            BrokerUnavailable, match=r"^the store of the gateway is unavailable: retry \(request"
        ):
            await broker.queues()
        flaky.fail(1, "queues", error=RuntimeError("SELECT secret FROM tasks"))
        with pytest.raises(Exception, match="the gateway cannot do this") as caught:
            await broker.queues()
        assert "secret" not in str(caught.value)
        with pytest.raises(QueueNotFound, match="there is no queue 'q'") as found:
            await broker.stats(["q"])
        assert found.value.queue == "q"
    assert "secret.db" in caplog.text
    assert "SELECT secret" in caplog.text


async def test_a_store_that_refuses_to_watch_or_to_listen_refuses_the_call(gateway: GatewayServer) -> None:
    class Refusing(MemoryBroker):
        def watch(self, topics: Iterable[Topic]) -> Watch:
            raise AccessDenied("task:read", "q", None)

        def cancellations(self) -> AsyncIterator[Cancellation]:
            return self._refused()

        async def _refused(self) -> AsyncIterator[Cancellation]:
            if self.clock.now():
                raise AccessDenied("task:claim", None, None)
            yield Cancellation(TaskRef("q", "a"))

    gateway.app.add("ws", Refusing())
    async with RawClient(gateway.port) as client:
        for id, call in ((1, ["watch", 1, [["pending", "q"]]]), (2, ["listen"]), (3, ["listen"])):
            _, _, (kind, _, attributes) = await client.ask(id, *call)
            assert kind == "AccessDenied"
            assert attributes["action"] in ("task:read", "task:claim")
        assert await client.ask(4, "queues") == [4, []]


# --- limits ---------------------------------------------------------------------------------------


@pytest.fixture
def tight() -> RemoteLimits:
    return RemoteLimits(
        max_frame=65_536, max_payload=1_000, max_calls=4, max_unsent=100_000, max_kept=300_000, max_watches=2
    )


@pytest.fixture
def small(tight: RemoteLimits) -> Any:
    """A gateway with small limits, before a memory store."""
    server = GatewayServer(TestGateway(tight)).start()
    server.app.add("ws", open_broker("memory://"))
    yield server
    server.close()


async def test_more_calls_than_the_limit_are_all_answered(small: GatewayServer) -> None:
    async with open_broker(small.url("ws")) as broker:
        await asyncio.gather(*(put(broker, entry(f"task-{number}")) for number in range(200)))
        assert len(await ids(broker, TaskState.PENDING)) == 200


async def test_a_payload_above_the_limit_is_refused_before_it_is_sent(small: GatewayServer) -> None:
    async with open_broker(small.url("ws")) as broker:
        broker.check(entry("a", payload=b"x" * 1_000))
        with pytest.raises(PayloadTooLarge, match="1,001 bytes, the limit is 1,000"):
            broker.check(entry("a", payload=b"x" * 1_001))


async def test_a_call_above_the_largest_frame_fails_alone(small: GatewayServer) -> None:
    async with open_broker(small.url("ws")) as broker:
        large = asyncio.create_task(broker.append_log("log", [os.urandom(70_000)], keep=1, age=9.0))
        await put(broker, entry("a"))
        with pytest.raises(CannotStore, match="the gateway accepts 65,536"):
            await large


async def test_watches_are_limited(small: GatewayServer) -> None:
    async with RawClient(small.port) as client:
        for number in (1, 2, 1):
            await client.ask(client.next_id(), "watch", number, [["pending", "q"]])
        _, _, (kind, [text], _) = await client.ask(client.next_id(), "watch", 3, [["pending", "q"]])
        assert (kind, "may have 2 watches" in text) == ("BrokerRefused", True)


async def test_a_slow_reader_is_not_served_and_harms_nobody(small: GatewayServer) -> None:
    """The gateway keeps a bounded number of answers, and reads no more calls."""
    async with open_broker(small.url("ws")) as other:
        await put(other, *(entry(f"task-{number}", payload=b"x" * 900) for number in range(50)))
        async with RawClient(small.port) as client:
            [session] = [one for one in small.app.all_sessions() if one.received == 0]
            question = ["tasks", {"queue": "default", "state": "pending"}, {"size": 50}]
            sending = asyncio.create_task(client.flood(question, 100_000))
            for _ in range(20):
                await other.ping()
            # Nothing is read: 5 GB of answers are asked for, and few are made
            while session.received < 20:
                await other.ping()
            for _ in range(50):
                await other.ping()
            assert session.received < 1_000
            assert not sending.done()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            client.break_off()
        await other.ping()


# --- sessions -------------------------------------------------------------------------------------


async def test_a_session_is_resumed_only_by_its_principal_and_id(
    gateway: GatewayServer, store: Store
) -> None:
    gateway.app.add("other", open_broker("memory://"))
    async with RawClient(gateway.port) as client:
        await client.ask(1, "queues")
        client.break_off()
        async with RawClient(gateway.port, client.session, 1, path="other") as stranger:
            assert not stranger.hello["resumed"]
            assert stranger.hello["received"] == 0
        async with RawClient(gateway.port, client.session, 1) as again:
            assert again.hello["resumed"]
            assert again.hello["received"] == 1
            assert await again.ask(2, "queues") == [2, []]


async def test_answers_are_sent_again_until_they_are_acknowledged(
    gateway: GatewayServer, store: Store
) -> None:
    async with RawClient(gateway.port) as client:
        assert await client.ask(1, "queues") == [1, []]
        assert await client.ask(2, "ping") == [2, None]
        client.break_off()
    async with RawClient(gateway.port, client.session, 1) as client:
        assert await client.receive() == [[2, None]]
        await client.send([0, "ack", 2])
        await client.send([2, "ping"], [3, "queues"])  # a repeated call is not made again
        assert await client.receive() == [[3, []]]
        client.break_off()
    async with RawClient(gateway.port, client.session, 1) as client:
        assert not client.hello["resumed"]  # what it asks for is not kept any more


async def test_frames_that_are_never_acknowledged_are_not_kept_forever(small: GatewayServer) -> None:
    async with open_broker(small.url("ws")) as other:
        await put(other, *(entry(f"task-{number}", payload=b"x" * 900) for number in range(50)))
    async with RawClient(small.port) as client:
        question = ["tasks", {"queue": "default", "state": "pending"}, {"size": 50}]
        for id in range(1, 20):
            await client.ask(id, *question)
        client.break_off()
    async with RawClient(small.port, client.session, 19) as client:
        assert not client.hello["resumed"]


async def test_a_session_ends_when_its_client_closes_the_connection(
    gateway: GatewayServer, store: Store
) -> None:
    async with open_broker(gateway.url("ws")) as broker:
        await broker.ping()
        assert len(gateway.app.sessions) == 1
    # The gateway may still be handling the close
    async with open_broker(gateway.url("ws")) as broker:
        while len(gateway.app.sessions) > 1:
            await broker.ping()
