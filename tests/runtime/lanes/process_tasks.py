"""Handlers for tests of task processes at their edges."""

from __future__ import annotations

import asyncio
import contextvars


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
