"""Handlers of both kinds, middleware, a server with its options."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_type

from asynqio import FixedRetry, Mux, Next, Server, Task, TaskMessage, UnknownTask

mux = Mux()


@dataclass
class Mail:
    to: str


@mux.handle("email:")
async def email(task: Task) -> int:
    mail = task.load(Mail)
    assert_type(mail, Mail)
    assert_type(task.load(list[Mail]), list[Mail])
    assert_type(task.load(), Any)
    return len(mail.to)


@mux.handle("image:", run_in="process", retry=FixedRetry(5))
def image(task: Task) -> bytes:
    return b""


mux.handle("other:", email, retry=lambda retried, error, message: timedelta(seconds=retried))


@mux.use
async def timing(task: Task, call_next: Next) -> object:
    return await call_next(task)


@asynccontextmanager
async def lifespan() -> AsyncIterator[dict[str, Any]]:
    yield {"database": 1}


def delay(retried: int, error: BaseException, message: TaskMessage) -> float:
    return 5.0 * retried


def told(task: Task, error: BaseException, final: bool) -> None: ...


async def use() -> None:
    assert_type(await email(Task("a")), int)  # the decorator leaves the function as it is
    server = Server(
        "memory://",
        concurrency=10,
        queues={"critical": 6, "default": 3},
        unknown_tasks=UnknownTask.ARCHIVE,
        retry=delay,
        is_failure=lambda error: not isinstance(error, ConnectionError),
        on_error=told,
        lifespan=lifespan,
    )
    async with server.running(mux) as same:
        assert_type(same, Server)
