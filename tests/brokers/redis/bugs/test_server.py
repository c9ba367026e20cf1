"""Go's bugs in running servers, each in the situation that triggers it, in real time and with real outages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asynqio import App, Inspector, RetryIn, RevokeTask, SkipRetry, Task, TaskState, current
from asynqio.brokers.contract.signals import ended
from asynqio.brokers.redis.layout.messages import encode_task
from asynqio.core.task.message import TaskRef
from asynqio.runtime.fetching.fetcher import Fetcher
from tests.brokers.redis.support.go_client import GoClient, key
from tests.brokers.redis.support.servers import RedisServer
from tests.builders import message
from tests.runtime.waiting import gone, state_of, within


@pytest.fixture
async def app(redis_server: RedisServer) -> AsyncIterator[App]:
    """An open app on the shared server, in real time."""
    async with App(redis_server.url) as app:
        yield app


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RedisServer]:
    """A persistent server to kill and freeze."""
    with RedisServer(tmp_path / "redis", aof="always") as server:
        yield server


@contextmanager
def logged(text: str) -> Iterator[asyncio.Event]:
    """An event that is set when a server logs this text."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                loop.call_soon_threadsafe(event.set)

    log, push = logging.getLogger("asynqio.server"), Ear()
    log.addHandler(push)
    try:
        yield event
    finally:
        log.removeHandler(push)


# --- B1: an end that cannot be recorded at first ------------------------------------------------------


def _killed(server: RedisServer) -> tuple[Callable[[], None], Callable[[], object]]:
    return server.kill, server.start


def _frozen(server: RedisServer) -> tuple[Callable[[], None], Callable[[], object]]:
    return server.pause, server.unpause


@pytest.mark.parametrize("outage", [_killed, _frozen])
async def test_b01_an_end_that_could_not_be_recorded_at_first_is_recorded_later_and_once(
    own: RedisServer, outage: Callable[[RedisServer], tuple[Callable[[], None], Callable[[], object]]]
) -> None:
    begin, end = outage(own)
    started, go_on = asyncio.Event(), asyncio.Event()
    runs: list[int] = []
    async with App(f"{own.url}?patience=0.1&timeout=0.5") as app:

        @app.task("work")
        async def work() -> None:
            runs.append(1)
            started.set()
            await go_on.wait()

        async with app.running():
            handle = await work.enqueue()
            await within(started.wait())
            # When Redis is down at the moment when the handler ends
            with logged("settling 1 tasks") as failed:
                await asyncio.to_thread(begin)
                go_on.set()
                await within(failed.wait())
            await asyncio.to_thread(end)
            # Then the task is settled when Redis is up again, and does not run a second time
            async with App(own.url) as fence:  # with a longer patience
                await gone(fence, handle.info)
                [stats] = await fence.broker.stats(["default"])
            assert (runs, stats.processed, stats.failed, stats.active) == ([1], 1, 0, 0)


# --- B16, B18: cancelling -------------------------------------------------------------------------


async def test_b16_a_cancelled_handler_that_skips_retries_is_archived(app: App, go: GoClient) -> None:
    started = asyncio.Event()

    @app.task("work")
    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise SkipRetry("not wanted any more") from None

    async with app.running():
        handle = await work.enqueue()
        await within(started.wait())
        await go("PUBLISH", "asynq:cancel", handle.id)  # as Go does
        info = await state_of(app, handle.info, TaskState.ARCHIVED, TaskState.RETRY)
        assert (info.state, info.retried) == (TaskState.ARCHIVED, 0)
        assert "not wanted any more" in info.last_error


async def test_b16_a_cancelled_handler_is_retried_by_default_as_in_go(app: App, go: GoClient) -> None:
    started = asyncio.Event()

    @app.task("work")
    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    async with app.running():
        handle = await work.enqueue()
        await within(started.wait())
        await go("PUBLISH", "asynq:cancel", handle.id)
        info = await state_of(app, handle.info, TaskState.ARCHIVED, TaskState.RETRY)
        assert (info.state, info.retried) == (TaskState.RETRY, 1)


@pytest.mark.parametrize(
    ("raised", "state"),
    [
        (None, TaskState.ARCHIVED),
        (ValueError("while tidying up"), TaskState.ARCHIVED),
        (RetryIn(5), TaskState.ARCHIVED),
        (SkipRetry("half done"), TaskState.ARCHIVED),
        (RevokeTask(), None),
    ],
    ids=repr,
)
async def test_b16_a_task_cancelled_with_archive_is_not_retried(
    app: App, go: GoClient, raised: BaseException | None, state: TaskState | None
) -> None:
    # Given a running handler
    started = asyncio.Event()

    @app.task("work", retention=60)
    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if raised is not None:
                raise raised from None
            raise

    async with app.running(), Inspector(app.broker) as inspector:
        handle = await work.enqueue()
        await within(started.wait())
        # When an operator cancels it with archive=True
        with app.broker.watch([ended(handle.info.ref)]) as watch:
            await inspector.cancel(handle, final=True)
            while (info := (await app.broker.find([handle.info.ref]))[0]) and info.state is TaskState.ACTIVE:
                await within(watch.wait())
        # Then it is archived, whatever the handler raised, except for RevokeTask
        assert (info and info.state) == state
        if isinstance(raised, SkipRetry):
            assert info is not None
            assert info.last_error == "half done"


async def test_b16_a_cancelled_handler_that_succeeds_completes(app: App, go: GoClient) -> None:
    started = asyncio.Event()

    @app.task("work", retention=60)
    async def work() -> str:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "done"

    async with app.running(), Inspector(app.broker) as inspector:
        handle = await work.enqueue()
        await within(started.wait())
        await inspector.cancel(handle, final=True)
        assert await handle.result(timeout=10) == "done"


async def test_b16_go_receives_cancellation_with_archive(app: App, go: GoClient) -> None:
    async with go.client.pubsub() as channel:
        await channel.subscribe("asynq:cancel")
        assert (await channel.get_message(timeout=5) or {})["type"] == "subscribe"
        await app.broker.cancel([TaskRef("default", "a")], archive=True)
        said = await channel.get_message(timeout=5)
        assert said is not None
        assert said["data"] == b"a"


@pytest.mark.parametrize("by_go", [False, True])
async def test_b18_cancellation_distinguishes_queues_unless_go_requests_it(
    app: App, go: GoClient, by_go: bool
) -> None:
    both, ended, go_on = asyncio.Semaphore(0), asyncio.Queue[str](), asyncio.Event()

    @app.task("work", retention=60)
    async def work() -> None:
        both.release()
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            ended.put_nowait(current().queue)
            raise SkipRetry from None

    async with app.running(queues={"one": 1, "two": 1}):
        one = await work.with_options(task_id="same", queue="one").enqueue()
        two = await work.with_options(task_id="same", queue="two").enqueue()
        await within(both.acquire())
        await within(both.acquire())
        if by_go:
            await go("PUBLISH", "asynq:cancel", "same")
            assert {await within(ended.get()), await within(ended.get())} == {"one", "two"}
        else:
            await app.broker.cancel([one.info.ref])
            assert await within(ended.get()) == "one"
            go_on.set()
            await state_of(app, two.info, TaskState.COMPLETED)
            assert ended.empty()
        await state_of(app, one.info, TaskState.ARCHIVED)


async def test_b18_one_id_in_two_queues_has_two_leases(app: App, go: GoClient) -> None:
    for queue in ("one", "two"):
        await app.enqueue(Task("work"), task_id="same", queue=queue)
    leases = await app.broker.dequeue(["one", "two"], 2, 1, "me")
    assert await app.broker.renew(leases, 3600) == [True, True]
    scores = [await go("ZSCORE", key("lease", queue), "same") for queue in ("one", "two")]
    assert min(scores) > app.broker.clock.now() + 3000


# --- B19: a slow Redis ----------------------------------------------------------------------------


async def test_b19_tasks_go_on_and_end_while_redis_stands_still(own: RedisServer) -> None:
    started, first_ended, all_ended = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()
    go_on = asyncio.Event()
    runs: list[int] = []
    async with App(own.url) as app:

        @app.task("work")
        async def work(number: int) -> None:
            runs.append(number)
            started.release()
            await go_on.wait()
            if number:
                await first_ended.wait()
                all_ended.set()
            first_ended.set()

        async with app.running():
            handles = [await work.enqueue(number) for number in range(2)]
            for _ in handles:
                await within(started.acquire())
            await asyncio.to_thread(own.pause)
            go_on.set()
            await within(all_ended.wait())
            await asyncio.to_thread(own.unpause)
            for handle in handles:
                await gone(app, handle.info)
    assert sorted(runs) == [0, 1]


# --- B20: waiting ---------------------------------------------------------------------------------


async def test_b20_an_idle_server_sends_less_than_one_command_per_second(app: App, go: GoClient) -> None:
    async with app.running():
        # The initial checks are complete when a task has been processed.
        handle = await app.enqueue(Task("unknown"))
        await state_of(app, handle, TaskState.RETRY)
        await go("CONFIG", "RESETSTAT")
        # Real seconds, because the test observes an idle period. Go polls every queue at least every 1.5 s.
        await asyncio.sleep(4.0)
        assert await go.calls("evalsha", "eval") <= 4


async def test_b20_a_task_enqueued_by_go_starts_at_once(app: App, go: GoClient) -> None:
    started = asyncio.Queue[str]()

    @app.task("work")
    async def work() -> None:
        started.put_nowait(current().id)

    async with app.running():
        # The server is idle when the first task has ended.
        handle = await work.enqueue()
        assert await within(started.get()) == handle.id
        await gone(app, handle.info)
        for id in ("one", "two", "three"):
            await go(
                "EVAL",
                "redis.call('HSET', KEYS[1], 'msg', ARGV[1], 'state', 'pending', 'pending_since', ARGV[3])"
                "redis.call('LPUSH', KEYS[2], ARGV[2])",
                *(2, key(f"t:{id}"), key("pending")),
                *(encode_task(message(id, "work")), id, "1700000000000000000"),
            )
            async with asyncio.timeout(Fetcher.poll / 2):  # the next poll would find it in any case
                assert await started.get() == id


# --- B37: unknown types ---------------------------------------------------------------------------


async def test_b37_a_type_without_a_handler_here_costs_no_retry(app: App, go: GoClient) -> None:
    await go.enqueue(message("a", "only:go:knows", max_retry=0))
    [shown] = await app.broker.find([TaskRef("default", "a")])
    assert shown is not None
    async with app.running():
        info = await state_of(app, shown, TaskState.RETRY, TaskState.ARCHIVED)
    assert (info.state, info.retried) == (TaskState.RETRY, 0)
    stored = await go.message("a")
    assert (stored.retried, stored.last_error) == (0, 'handler not found for task "only:go:knows"')
    assert 20 < await go("ZSCORE", key("retry"), "a") - app.broker.clock.now() < 40
    [stats] = await app.broker.stats(["default"])
    assert (stats.processed, stats.failed) == (0, 0)
