"""Messages that are not requests, and the order of answers."""

from __future__ import annotations

import json
import random
import uuid

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.gateway.asynq.client import ProtocolClient, task_fields
from tests.gateway.conftest import StartGateway
from tests.gateway.running import RunningGateway


@pytest.fixture
def url() -> str:
    """The store does not matter here."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "{",
        "null",
        "[]",
        '"ping"',
        "{}",
        '{"type":null}',
        '{"type":"unknown"}',
        '{"type":"enqueue"}',
        '{"type":"enqueue","data":null}',
        '{"type":"enqueue","data":{}}',
        '{"type":"ping","data":{}}',
        '{"type":"dequeue","data":{"queues":"default"}}',
        '{"type":"ping","id":{}}',
        "[" * 100_000,
        '{"type":"enqueue","data":' + '{"a":' * 100_000,
        '{"type":"ping"}x',
    ],
    ids=range(17),
)
async def test_an_invalid_message_is_answered_once_and_the_connection_stays(
    gateway: RunningGateway, message: str
) -> None:
    async with ProtocolClient(gateway.address) as client:
        for data in (message, message.encode()):
            await client.send(data)
            answer = await client.receive()
            assert answer["type"] == "error"
            assert answer["data"]["message"].startswith("Invalid message: ")
            assert await client.call("ping") == {"type": "pong"}


async def test_binary_messages_are_answered_in_text(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.send(b'{"type":"ping"}')
        assert await client.receive() == {"type": "pong"}
        await client.send(b"\xff\xfe")
        assert (await client.receive())["type"] == "error"


async def test_a_message_in_fragments_is_one_message(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        await client.socket.send(iter(['{"type"', ":", '"ping"}']))
        assert await client.receive() == {"type": "pong"}


async def test_answers_come_in_the_order_of_requests_sent_ahead(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        expected = []
        for number in range(200):
            kind = random.Random(number).choice(["ping", "enqueue", "dequeue", "list_groups", "bad"])
            data = {
                "enqueue": task_fields(task_id=str(number)),
                "dequeue": {"queues": ["nix"]},
                "list_groups": {"queue": "nix"},
            }.get(kind)
            await client.send(json.dumps({"type": kind, "data": data, "id": number}))
            expected.append((kind, number))
        types = {
            "ping": "pong",
            "enqueue": "task_info",
            "dequeue": "dequeue_result",
            "list_groups": "groups_list",
        }
        for kind, number in expected:
            answer = await client.receive()
            assert answer["type"] == types.get(kind, "error")
            assert answer.get("id", number) == number


#: A request about a task that the client does not hold.
EXTENSION = {"queue": "default", "task_id": "nix", "lease_duration_seconds": 30}


async def test_an_id_is_repeated(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address) as client:
        for id in (0, 7, 'a"b'):
            await client.send(json.dumps({"type": "ping", "id": id}))
            assert await client.receive() == {"type": "pong", "id": id}
        await client.send(json.dumps({"type": "extend_lease", "id": 8, "data": EXTENSION}))
        refused = await client.receive()
        assert (refused["type"], refused["id"]) == ("error", 8)


async def test_clients_that_dial_the_host_alone_are_served(gateway: RunningGateway) -> None:
    async with ProtocolClient(gateway.address, path="/") as client:
        assert await client.call("ping") == {"type": "pong"}


async def test_another_path_is_not_found(gateway: RunningGateway) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with ProtocolClient(gateway.address, path="/other"):
            pass
    assert refused.value.response.status_code in (403, 404)


async def test_a_message_beyond_the_limit_closes_its_own_connection_only(
    start_gateway: StartGateway,
) -> None:
    address = (await start_gateway(max_message=10_000)).address
    async with ProtocolClient(address) as neighbour, ProtocolClient(address) as client:
        await client.send("x" * 10_001)
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert await neighbour.call("ping") == {"type": "pong"}
