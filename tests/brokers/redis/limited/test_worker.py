"""A worker, and what it and the doctor say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from asynqio import App
from asynqio.brokers.redis.broker import RedisBroker
from asynqio.brokers.redis.connection.errors import is_missing_command, translate
from asynqio.core.task.message import TaskState
from asynqio.testing import FakeClock
from tests.brokers.redis.support.servers import RedisServer
from tests.conformance.helpers import entry_for, put_in_state
from tests.runtime.waiting import within


async def polls_and_warns_once(url: str, caplog: pytest.LogCaptureFixture, *others: str) -> None:
    async with App(url) as app:

        @app.task("work", retention=60)
        async def work(number: int) -> int:
            return number

        async with app.running():
            for number in range(3):
                handle = await work.enqueue(number)
                assert await within(handle.result()) == number
            late = await work.with_options(process_in=0.1).enqueue(9)
            assert await within(late.result()) == 9
    warnings = [record.event for record in caplog.records if record.levelname in ("WARNING", "ERROR")]  # type: ignore[attr-defined]
    # One per broker: the worker's, and that of the client that waits for results.
    assert set(warnings) == {"polling_started", *others}
    assert warnings.count("polling_started") <= 2


async def test_a_worker_polls_and_warns_once(
    limited_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    await polls_and_warns_once(limited_server.url, caplog)


@pytest.fixture
def without_resp3(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that lacks more commands, among them the one that switches to RESP3."""
    missing = (f'rename-command {name} ""' for name in ("hello", "role", "time", "script"))
    with RedisServer(tmp_path / "redis", *missing, protocol=2) as server:
        yield server


async def test_a_worker_polls_without_push_messages(
    without_resp3: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    await polls_and_warns_once(without_resp3.url, caplog, "cancellations_unconfirmed")


async def test_the_doctor_says_what_is_missing_and_what_follows(kind: str, broker: RedisBroker) -> None:
    found = [one for one in await broker.examine() if one.code == "no-permission"]
    assert [one.sentence.split()[-1] for one in found] == ["CLIENT", "SCAN", "INFO"]
    assert all(("ACL SETUSER" in one.advice) == (kind == "redis-no-permission") for one in found)
    assert "poll" in found[0].advice


async def test_the_doctor_accuses_no_task_wrongly(broker: RedisBroker, clock: FakeClock) -> None:
    """It cannot see which tasks exist."""
    for state in sorted(
        TaskState, key=lambda state: state is TaskState.PENDING
    ):  # pending last: others are dequeued
        await put_in_state(broker, clock, state, entry_for(state))
    found = {one.code for one in await broker.examine(fix=True) if one.fixable}
    assert found == set()


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("NOPERM this user has no permissions to run the 'client|tracking' command", True),
        ("ERR unknown command 'CONFIG', with args beginning with: 'GET' 'save'", True),
        ("ERR unknown command `client`, with args beginning with: ", True),
        ("ERR unknown subcommand 'TRACKING'. Try CLIENT HELP.", True),
        ("ERR Command is not available: 'CLIENT'. See https://upstash.com/docs", True),
        ("ERR command 'SCAN' is not allowed", True),
        ("ERR command not supported", True),
        ("ERR The command is disabled", True),
        ("unsupported command 'CLIENT'", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", False),
        ("NOAUTH Authentication required.", False),
        ("ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.", False),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
    ],
)
def test_a_missing_command_is_recognised(text: str, missing: bool) -> None:
    assert is_missing_command(translate(text)) is missing
