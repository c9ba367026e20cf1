"""Go's bugs in enqueueing options and URLs, each in the situation that triggers it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asynqio import App, DuplicateTask, Task, TaskIdConflict, TaskInfo
from asynqio.brokers.redis.settings import RedisSettings
from asynqio.brokers.redis.url import parse
from asynqio.errors import ConfigError, InvalidOption
from tests.brokers.redis.support.go_client import GoClient, key
from tests.brokers.redis.support.servers import RedisServer


@pytest.fixture
async def app(redis_server: RedisServer) -> AsyncIterator[App]:
    """An open app on the shared server, in real time."""
    async with App(redis_server.url) as app:
        yield app


async def test_b24_a_batch_answers_for_each_task_and_takes_all_kinds(app: App, go: GoClient) -> None:
    await app.enqueue(Task("work"), task_id="taken")
    answers = await app.enqueue_many(
        [
            Task("work", task_id="plain"),
            Task("work", task_id="taken"),
            Task("work", b"1", task_id="unique", unique=60),
            Task("work", b"1", task_id="twice", unique=60),
            Task("work", task_id="grouped", group="g"),
            Task("work", task_id="labelled", headers={"trace": "abc"}),
            Task("work", task_id="later", process_in=60),
        ]
    )
    kinds = [TaskInfo, TaskIdConflict, TaskInfo, DuplicateTask, TaskInfo, TaskInfo, TaskInfo]
    assert [type(answer) for answer in answers] == kinds
    assert await go.places("unique") == await go.places("plain") == ["pending"]
    assert await go.places("grouped") == ["g:g"]
    assert await go.places("later") == ["scheduled"]
    assert await go.task("twice") == {}
    assert (await go.message("labelled")).headers == {"trace": "abc"}


async def test_b33_fractions_of_a_second_are_rounded_up(app: App, go: GoClient) -> None:
    now = app.broker.clock.now()
    info = await app.enqueue(Task("work"), timeout=0.5, retention=0.25, deadline=now + 60.5)
    stored = await go.message(info.id)
    assert (stored.timeout, stored.retention) == (1, 1)
    assert now + 60.5 <= stored.deadline <= now + 61.5
    info = await app.enqueue(Task("work", b"1"), unique=1.5)
    lock = (await go.message(info.id)).unique_key
    assert 1_500 < await go("PTTL", lock) <= 2_000


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": -1}, {"retention": -1}, {"unique": 0.5}])
async def test_b33_ambiguous_values_are_rejected(app: App, go: GoClient, options: dict[str, float]) -> None:
    with pytest.raises(InvalidOption):
        await app.enqueue(Task("work", **options))  # type: ignore[arg-type]
    assert await go("EXISTS", key("pending")) == 0


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("redis://ann:pw@host/2", RedisSettings("single", (("host", 6379),), "", 2, "ann", "pw")),
        ("redis+cluster://:pw@a,b:7", RedisSettings("cluster", (("a", 6379), ("b", 7)), password="pw")),
        (
            "redis+sentinel://ann:data@a,b/main/2?sentinel_password=guard",
            RedisSettings(
                "sentinel",
                (("a", 26379), ("b", 26379)),
                db=2,
                username="ann",
                password="data",
                master="main",
                sentinel_password="guard",
            ),
        ),
        (
            "redis-sentinel://:guard@a:1/2?master=main",
            RedisSettings("sentinel", (("a", 1),), db=2, master="main", sentinel_password="guard"),
        ),
        ("redis-socket://:pw@/run/r.sock?db=1", RedisSettings("unix", (), "/run/r.sock", 1, password="pw")),
    ],
)
def test_b39_a_url_can_express_every_setting(url: str, settings: RedisSettings) -> None:
    assert parse(url) == settings


def test_b39_a_trailing_slash_is_accepted_and_errors_name_the_part() -> None:
    assert parse("redis://host:6379/") == parse("redis://host")
    with pytest.raises(ConfigError, match="database must be a number"):
        parse("redis://host:6379/two")
