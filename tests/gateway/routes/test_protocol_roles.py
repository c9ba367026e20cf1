"""Every request of the asynq-server protocol with a token of every role, on allowed and forbidden queues and
types."""

from __future__ import annotations

from typing import Any, NamedTuple

import httpx
import msgspec
import pytest

from asynqio import Client, Task
from asynqio.brokers.contract.broker import Store
from asynqio.core.access.actions import Action
from asynqio.core.access.roles import Role
from asynqio.core.task.message import TaskRef, TaskState
from asynqio.gateway.asynq.requests import AnyRequest
from tests.gateway.asynq.client import ProtocolClient, ack_fields, task_fields
from tests.gateway.rest.admin import protocol_client
from tests.gateway.routes.conftest import token_of
from tests.gateway.routes.table import (
    OTHER_QUEUE,
    OTHER_TYPE,
    PERMITTED,
    QUEUE,
    TYPE,
    Case,
    Reach,
    Row,
    is_denied,
    new_case,
)
from tests.gateway.running import RunningGateway

FREE = Row(None, Reach.NOTHING)
ENQUEUE = Row(Action.ENQUEUE, Reach.TASK)
#: What a request concerns that names a task which the client must hold, or a batch which it must have claimed.
HELD = Row(Action.CLAIM, Reach.HIDDEN)
SERVER = {"host": "h", "pid": 1, "server_id": "s"}
LATER = 4_000_000_000


class Message(NamedTuple):
    """A request: what it needs, and the fields of its data, besides those of the task."""

    row: Row
    fields: dict[str, Any] | None = None


#: Every request. Those that end or extend an attempt need the task that the client holds, and no permission else.
REQUESTS: dict[str, Message] = {
    "ping": Message(FREE),
    "enqueue": Message(ENQUEUE, {}),
    "enqueue_unique": Message(ENQUEUE, {"ttl_seconds": 60}),
    "schedule": Message(ENQUEUE, {"process_at": LATER}),
    "schedule_unique": Message(ENQUEUE, {"process_at": LATER, "ttl_seconds": 60}),
    "add_to_group": Message(ENQUEUE, {"group": "g"}),
    "add_to_group_unique": Message(ENQUEUE, {"group": "g", "ttl_seconds": 60}),
    "dequeue": Message(Row(Action.CLAIM, Reach.QUEUE)),
    "done": Message(HELD, {}),
    "mark_complete": Message(HELD, {}),
    "retry": Message(HELD, {"process_at": LATER, "error_msg": "x", "is_failure": True}),
    "archive": Message(HELD, {"error_msg": "x"}),
    "write_result": Message(HELD, {"result": "MQ=="}),
    "extend_lease": Message(HELD, {"lease_duration_seconds": 30}),
    "list_lease_expired": Message(FREE),
    "subscribe_cancellation": Message(FREE),
    "publish_cancellation": Message(Row(Action.CANCEL, Reach.HIDDEN)),
    "write_server_state": Message(Row(Action.CLAIM, Reach.QUEUE)),
    "clear_server_state": Message(FREE),
    "list_groups": Message(Row(Action.READ, Reach.QUEUE)),
    "aggregation_check": Message(Row(Action.CLAIM, Reach.WHOLE)),
    "read_aggregation_set": Message(FREE),
    "delete_aggregation_set": Message(HELD),
}


def data_of(name: str, case: Case) -> Any:
    """The data of a request about a case."""
    match name:
        case "ping" | "subscribe_cancellation":
            return None
        case "dequeue":
            return {"queues": [case.queue]}
        case "list_lease_expired":
            return {"cutoff": LATER, "queues": [case.queue]}
        case "publish_cancellation":
            return {"task_id": case.id}
        case "clear_server_state":
            return SERVER
        case "write_server_state":
            state = {"concurrency": 1, "strict_priority": False, "status": "active"}
            rest = {"active_worker_count": 0, "ttl_seconds": 10, "workers": []}
            return {**SERVER, **state, **rest, "queues": {case.queue: 1}}
        case "list_groups":
            return {"queue": case.queue}
        case "aggregation_check":
            rule = {"aggregation_delay_seconds": 0, "max_delay_seconds": 0, "max_size": 1}
            return {"queue": case.queue, "group": "g", **rule}
        case "read_aggregation_set" | "delete_aggregation_set":
            return {"queue": case.queue, "group": "g", "set_id": case.id}
    fields = REQUESTS[name].fields or {}
    if REQUESTS[name].row is ENQUEUE:
        return task_fields(task_type=case.type, queue=case.queue, task_id=case.id, **fields)
    task = {"id": case.id, "queue": case.queue, "task_type": case.type, "payload": ""}
    return ack_fields(task, **fields)


def test_every_request_has_a_row() -> None:
    names = {msgspec.inspect.type_info(one).tag for one in AnyRequest.__args__}  # type: ignore[attr-defined]
    assert set(REQUESTS) == names


@pytest.mark.requirement("SEC-GW-5")
@pytest.mark.requirement("SEC-GW-8")
@pytest.mark.parametrize("typed", [False, True], ids=["all types", "one type"])
@pytest.mark.parametrize("role", Role)
async def test_each_role_may_do_what_the_table_says(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store, role: Role, typed: bool
) -> None:
    async with protocol_client(gateway, await token_of(root, role, typed=typed)) as client:
        for name, message in REQUESTS.items():
            for queue, type in ((QUEUE, TYPE), (OTHER_QUEUE, TYPE), (QUEUE, OTHER_TYPE)):
                case = new_case(queue, type)
                denied = is_denied(
                    role,
                    message.row,
                    other_queue=queue is OTHER_QUEUE,
                    other_type=type is OTHER_TYPE,
                    typed=typed,
                )
                if name == "publish_cancellation":
                    await cancel(client, store, role, case, denied)
                elif message.row is HELD:
                    await end(client, store, name, case, denied)
                else:
                    answer = await client.call(name, data_of(name, case))
                    text = str(answer)
                    assert ("Permission denied" in text) is denied, f"{name} {case}: {answer}"
                    assert (answer["type"] == "error") is denied, f"{name} {case}: {answer}"
                    if denied and message.row is ENQUEUE:
                        assert case.queue not in await store.queues()


async def cancel(client: ProtocolClient, store: Store, role: Role, case: Case, denied: bool) -> None:
    """Cancel a task that another server runs. Who does not see the task learns nothing of it."""
    await Client(store).enqueue(Task(case.type, queue=case.queue, task_id=case.id))
    assert await store.dequeue([case.queue], 1, 30, "elsewhere")
    answer = await client.call("publish_cancellation", data_of("publish_cancellation", case))
    visible = not case.queue.startswith("other")
    text = str(answer)
    if role not in PERMITTED[Action.READ]:
        assert "Permission denied" in text
    elif role in PERMITTED[Action.CANCEL] or not visible:
        assert answer == {"type": "success"}
    else:
        assert denied
        assert "Permission denied" in text or case.type == OTHER_TYPE, text
    if not visible:
        assert case.queue not in text


async def end(client: ProtocolClient, store: Store, name: str, case: Case, denied: bool) -> None:
    """End an attempt, which takes the task or batch that the client holds."""
    data = data_of(name, case)
    if name == "delete_aggregation_set":
        assert '"NOT": FOUND' in await client.error(name, data)
        return
    info = await Client(store).enqueue(Task(case.type, b"1", queue=case.queue, task_id=case.id))
    if denied:
        taken = await client.call("dequeue", {"queues": [case.queue]})
        assert taken["type"] == "error" or taken["data"] is None
        assert '"NOT": FOUND' in await client.error(name, data)
        [found] = await store.find([TaskRef(case.queue, case.id)])
        assert found is not None
        assert found.state in (info.state, TaskState.SCHEDULED, TaskState.RETRY)
    else:
        task = await client.take(case.queue)
        assert task["id"] == case.id
        await client.succeed(name, data)


@pytest.mark.requirement("SEC-GW-8")
async def test_a_task_is_ended_by_the_client_that_holds_it(
    gateway: RunningGateway, root: httpx.AsyncClient, store: Store
) -> None:
    case = new_case()
    await Client(store).enqueue(Task(case.type, b"1", queue=case.queue, task_id=case.id))
    one, other = [await token_of(root, Role.WORKER) for _ in range(2)]
    async with protocol_client(gateway, one) as holder, protocol_client(gateway, other) as thief:
        await holder.take(case.queue)
        for name, message in REQUESTS.items():
            if message.row is HELD:
                assert '"NOT": FOUND' in await thief.error(name, data_of(name, case))
        await holder.succeed("done", data_of("done", case))
