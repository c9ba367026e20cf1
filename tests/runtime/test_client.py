"""The client: what it accepts and rejects, and waiting for results."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from asynqio import (
    App,
    Client,
    DuplicateTask,
    FixedRetry,
    InvalidTask,
    ResultTimeout,
    Task,
    TaskIdConflict,
    TaskInfo,
    TaskNotFound,
    TaskState,
)
from asynqio.errors import ConflictingOptions, InvalidName, InvalidOption, PayloadTooLarge, ResultNotKept
from tests.runtime.waiting import within


async def test_an_accepted_task_is_described(app: App) -> None:
    client = await app.open()
    now = app.broker.clock.now()
    info = await client.enqueue(Task.json("email", {"to": "ann"}), queue="critical", max_retry=3, timeout=5)
    assert (info.type, info.queue, info.max_retry, info.timeout, info.state) == (
        "email",
        "critical",
        3,
        5.0,
        TaskState.PENDING,
    )
    assert info.next_process_at >= now
    assert info.load() == {"to": "ann"}
    stored = await client.find(info.id, queue="critical")
    assert stored.load() == {"to": "ann"}


async def test_options_come_in_layers_and_the_last_one_wins(app: App) -> None:
    client = Client(app.broker, queue="from client", max_retry=1, headers={"a": "client", "b": "client"})
    task = Task("work", None, max_retry=2, headers={"b": "task", "c": "task"}, process_in=60)
    info = await client.enqueue(task, headers={"c": "call"}, process_at=datetime(2100, 1, 1, tzinfo=UTC))
    assert (info.queue, info.max_retry) == ("from client", 2)
    assert info.headers == {"a": "client", "b": "task", "c": "call"}
    assert info.next_process_at == datetime(2100, 1, 1, tzinfo=UTC).timestamp()


async def test_a_batch_is_answered_item_by_item_and_a_bad_item_affects_no_other(app: App) -> None:
    client = await app.open()
    tasks: list[Any] = [
        Task("plain"),
        Task("delayed", None, process_in=60),
        Task("unique", b"x", unique=60),
        Task("unique", b"x", unique=60),
        Task("named", None, task_id="one"),
        Task("named", None, task_id="one"),
        Task("grouped", None, group="g"),
        Task("wrong", None, deadline=1.0),
        Task("other queue", None, queue="q2"),
        Task("huge", b"x" * 2_000_000),
    ]
    answers = await client.enqueue_many(tasks)
    kinds = [
        answer.state.value if isinstance(answer, TaskInfo) else type(answer).__name__ for answer in answers
    ]
    assert kinds == [
        "pending",
        "scheduled",
        "pending",
        "DuplicateTask",
        "pending",
        "TaskIdConflict",
        "aggregating",
        "InvalidOption",
        "pending",
        "PayloadTooLarge",
    ]
    stats = {stat.queue: stat.size for stat in await app.broker.stats(await app.broker.queues())}
    assert stats == {"default": 5, "q2": 1}


async def test_refusals_are_typed(app: App) -> None:
    client = await app.open()
    await client.enqueue(Task("unique", b"x"), unique=60)
    with pytest.raises(DuplicateTask, match="already exists"):
        await client.enqueue(Task("unique", b"x"), unique=60)
    await client.enqueue(Task("named"), task_id="one")
    with pytest.raises(TaskIdConflict, match="'one'"):
        await client.enqueue(Task("named"), task_id="one")
    with pytest.raises(PayloadTooLarge, match=r"10,485,760 bytes.*1,048,576"):
        await client.enqueue(Task("huge", b"x" * 10_485_760))
    with pytest.raises(InvalidName, match="blank"):
        await client.enqueue(Task("work"), queue=" ")
    with pytest.raises(InvalidName, match="control"):
        await client.enqueue(Task("work"), task_id="a\nb")
    with pytest.raises(InvalidOption, match="more than 0"):
        await client.enqueue(Task("work"), timeout=-1)
    with pytest.raises(InvalidOption, match="in the past"):
        await client.enqueue(Task("work"), deadline=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(ConflictingOptions, match="not both"):
        await client.enqueue(Task("work"), process_in=1, process_at=datetime.now(UTC))
    with pytest.raises(InvalidTask, match="did you mean 'queue'"):
        await client.enqueue(Task("work"), qeue="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Task\.json"):
        await client.enqueue("work")  # type: ignore[arg-type]
    [stats] = await app.broker.stats(["default"])
    assert stats.size == 2


@pytest.mark.parametrize(
    "name", ["a b", "größe", "a:b{c}d", "}", "任务", "🎉", "x" * 255, "'; DROP TABLE tasks; --"]
)
async def test_unusual_names_work_everywhere(app: App, name: str) -> None:
    app.mux.handle(name, _echo)
    if name == "}" and app.broker.url.startswith("redis+cluster:"):
        with pytest.raises(InvalidName, match="cluster"):  # its keys would be all over the place
            await app.enqueue(Task(name), queue=name)
        return
    async with app.server(queues={name: 1}).running(app.mux):
        info = await app.enqueue(Task(name, b"{}"), queue=name, task_id=name, retention=60)
        assert await within(app.result(info.id, bytes, queue=name)) == b"{}"


async def _echo(task: Task) -> bytes | None:
    return task.payload


async def test_concurrent_callers_each_get_their_own_answer(app: App) -> None:
    client = await app.open()
    infos = await asyncio.gather(*(client.enqueue(Task("work"), task_id=f"task {n}") for n in range(200)))
    assert [info.id for info in infos] == [f"task {n}" for n in range(200)]
    again = await asyncio.gather(
        *(client.enqueue(Task("work"), task_id=f"task {n}") for n in range(100, 300)), return_exceptions=True
    )
    assert [isinstance(answer, TaskIdConflict) for answer in again] == [True] * 100 + [False] * 100


async def test_waiting_for_a_result_stops_at_the_timeout(app: App) -> None:
    client = await app.open()
    info = await client.enqueue(Task("work"), retention=60)
    with pytest.raises(ResultTimeout, match=r"still pending after 0\.05 s"):
        await client.result(info.id, timeout=0.05)
    with pytest.raises(TaskNotFound):
        await client.result("nothing", timeout=0.05)


async def test_many_waiters_are_all_woken(app: App) -> None:
    go_on = asyncio.Event()

    @app.task("work", retention=60)
    async def work(number: int) -> int:
        await go_on.wait()
        return number

    async with app.server(concurrency=50).running(app.mux):
        handles = [await work.enqueue(number) for number in range(50)]
        waiters = [asyncio.create_task(handle.result()) for handle in handles for _ in range(2)]
        await asyncio.sleep(0)
        go_on.set()
        results = await within(asyncio.gather(*waiters))
    assert results == [number for number in range(50) for _ in range(2)]


async def test_results_are_checked_against_the_declared_type(app: App) -> None:
    from asynqio import BadPayload

    @app.task("work", retention=60, retry=FixedRetry(0))
    async def work() -> dict[str, int]:
        return {"a": 1}

    async with app.server().running(app.mux):
        handle = await work.enqueue()
        assert await within(handle.result()) == {"a": 1}
        assert await app.result(handle.id, bytes) == b'{"a":1}'
        with pytest.raises(BadPayload):
            await app.result(handle.id, list[int])


async def test_the_answer_of_enqueue_names_the_task_in_any_queue(app: App) -> None:
    @app.task("work", queue="special", retention=60)
    async def work() -> int:
        return 7

    async with app.running(queues={"special": 1}):
        info = await app.enqueue(work.task())
        assert await within(app.result(info, int)) == 7
        assert (await app.inspector.find(info.id, queue="special")).state is TaskState.COMPLETED


async def test_a_handle_of_a_task_without_retention_raises_at_once(app: App) -> None:
    @app.task("work")
    async def work() -> int:
        return 7

    handle = await work.enqueue()
    with pytest.raises(ResultNotKept, match="retention"):
        await handle.result()


def test_a_task_declared_in_a_script_is_named_as_workers_will_import_it(tmp_path: Path) -> None:
    script = tmp_path / "jobs.py"
    script.write_text(
        "from asynqio import App\n"
        "app = App('memory://')\n"
        "@app.task\n"
        "async def work() -> None: ...\n"
        "if __name__ == '__main__':\n"
        "    print(*app.tasks)\n"
    )
    for command in ([str(script)], ["-m", "jobs"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout == "jobs.work\n"
