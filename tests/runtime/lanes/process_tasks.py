"""Handlers for tests of task processes at their edges."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import multiprocessing
import os
import signal
import stat
import struct
import subprocess
import time
from pathlib import Path


class Client:
    """An async client as many libraries have: bound to the event loop of its first use, with a background task."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._requests: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()
        self._answered = 0

    async def ask(self) -> int:
        """The number of the answer. Raises RuntimeError in another event loop than that of the first call."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._answering = loop.create_task(self._answer())
        if self._loop is not loop:
            raise RuntimeError("the client is bound to a different event loop")
        answer: asyncio.Future[int] = loop.create_future()
        await self._requests.put(answer)
        return await answer

    async def _answer(self) -> None:
        while True:
            request = await self._requests.get()
            self._answered += 1
            request.set_result(self._answered)


client = Client()
seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


async def open_client() -> None:
    """An initializer: the first use of the client."""
    await client.ask()


async def ask() -> int:
    return await client.ask()


async def leave_context(text: str) -> str:
    """What an earlier task left in the context."""
    before = seen.get()
    seen.set(text)
    return before


async def exit_in_a_child_task() -> None:
    """Leaves the handler itself pending: asyncio lets SystemExit of any task stop the event loop."""

    async def leave() -> None:
        raise SystemExit(3)

    child = asyncio.create_task(leave())
    try:
        await asyncio.Event().wait()
    finally:
        child.cancel()
        ended.append("handler")


ended: list[str] = []


async def show_ended() -> list[str]:
    return list(ended)


def fork_and_die(fifo: str) -> None:
    """Die while a forked process lives, which holds the fifo open and everything else of this process."""
    held = os.open(fifo, os.O_WRONLY)
    if os.fork() == 0:
        time.sleep(60)
        os._exit(held)
    os._exit(7)


def start_program_and_spin(fifo: str) -> None:
    """Run a program that holds the fifo open."""
    with Path(fifo).open("w") as held:
        subprocess.Popen(["sleep", "60"], stdout=held)
    while True:
        pass


def start_program_and_return(fifo: str) -> None:
    """Leave a program behind that holds the fifo open."""
    with Path(fifo).open("w") as held:
        subprocess.Popen(["sleep", "60"], stdout=held)


def terminate_programs() -> list[int | None]:
    """How programs and forked processes end on TERM and INT, which this process ignores."""
    found: list[int | None] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with subprocess.Popen(["sleep", "60"]) as program:
            program.send_signal(number)
            found.append(program.wait(10))
    fork = multiprocessing.get_context("fork")
    process = fork.Process(target=time.sleep, args=(60,))
    process.start()
    process.terminate()
    process.join(10)
    found.append(process.exitcode)
    with fork.Pool(1) as pool:
        pool.map(abs, [1])
        pool.terminate()
        pool.join()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    return found


def wait_at_gate(fifo: str) -> None:
    """Wait until there is a byte to take."""
    with open(fifo, "rb", buffering=0) as gate:
        gate.read(1)


def pid() -> int:
    return os.getpid()


def write_to_the_pipe() -> None:
    """What a forked process may do that shares the pipe to the server: write between the messages."""
    for number in range(3, 100):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, struct.pack("!i", 4) + b"junk")
    time.sleep(60)


def text(size: int) -> str:
    return "x" * size
