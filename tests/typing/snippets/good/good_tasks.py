"""One way to name a task, in every face; what cancelling answers."""

from typing import Any, assert_type

from asynqio import (
    Action,
    App,
    AttemptRecord,
    CancelOutcome,
    Client,
    Explanation,
    Finding,
    Inspector,
    Moved,
    SyncTaskHandle,
    Task,
    TaskHandle,
    TaskInfo,
    TaskState,
    sync,
)

app = App("memory://")


@app.task("a")
async def a(x: int) -> str:
    return str(x)


@app.task("b", run_in="process")
def b() -> list[int]:
    return [1]


async def use(client: Client, inspector: Inspector) -> None:
    handle = await a.enqueue(1)
    info = await app.enqueue(Task("raw"))
    for task in ("id", info, handle, a.enqueue_sync(1)):
        assert_type(await app.find(task, queue="low"), TaskInfo)
        assert_type(await client.cancel(task), CancelOutcome)
        assert_type(await inspector.cancel(task, final=True), CancelOutcome)
        assert_type(await app.cancel(task, queue="low"), CancelOutcome)
        assert_type(await client.wait(task, timeout=5), TaskInfo)
        await client.delete(task)
        await inspector.run(task)
        await inspector.archive(task)
        await inspector.rewrite(task, b"{}")
        assert_type(await inspector.attempts(task), list[AttemptRecord])
        assert_type(await inspector.explain(task, queue="low"), Explanation)
    assert_type(await inspector.find_many(["id", info, handle]), list[TaskInfo | None])
    assert_type(await inspector.cancel_many([info], final=True), list[CancelOutcome])
    assert_type(await inspector.act(Action.RUN, ["id"], queue="low"), list[Moved])
    assert_type(await inspector.transfer([handle], "slow"), list[Moved])
    assert_type(await app.result(handle, str), str)
    assert_type(await app.result(info), Any)


async def handles() -> None:
    handle = await a.with_options(retention=60).enqueue(1)
    assert_type(handle, TaskHandle[str])
    assert_type(await handle.result(timeout=1), str)
    assert_type(await handle.wait(1.5), TaskInfo)
    assert_type(await handle.refresh(), TaskInfo)
    assert_type(await handle.cancel(final=True), CancelOutcome)
    assert_type(handle.info, TaskInfo)
    assert_type(handle.state, TaskState)


def blocking(client: sync.Client, inspector: sync.Inspector) -> None:
    handle = b.enqueue_sync()
    assert_type(handle, SyncTaskHandle[list[int]])
    assert_type(handle.result(timeout=1), list[int])
    assert_type(handle.wait(), TaskInfo)
    assert_type(handle.refresh(), TaskInfo)
    assert_type(handle.cancel(), CancelOutcome)
    assert_type(handle.info, TaskInfo)
    for event in handle.follow():
        print(event)
    assert_type(client.cancel(handle, final=True), CancelOutcome)
    assert_type(inspector.find(handle), TaskInfo)


def plain() -> None:
    app.include("shop.tasks", "shop.*")
    assert_type(app.check_tasks({"default": 1}), list[Finding])
    app.run_worker(concurrency=10)
    app.run_scheduler()


async def on_a_loop() -> None:
    await app.run_worker()
    await app.run_scheduler()
