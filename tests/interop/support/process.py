"""A peer process that receives requests and sends events as lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, ClassVar, Self, TypeVar

import msgspec

from tests.interop.support.views import Event, GoProblem

T = TypeVar("T")

ROOT = Path(__file__).parents[3]
#: Timeout in seconds for an answer, an event or the end of a peer.
TIMEOUT = 30.0
#: Longest line of a peer in bytes: a page of large tasks.
LONGEST = 64 * 1024 * 1024


class PeerError(Exception):
    """An error of a peer."""

    def __init__(self, problem: GoProblem) -> None:
        super().__init__(f"{problem.kind}: {problem.text}")
        self.kind = problem.kind
        self.text = problem.text


class _Line(msgspec.Struct):
    """An answer or an event."""

    id: int = 0
    ok: Any = None
    error: Any = None
    event: str = ""


class Peer:
    """Use with `async with`: the process runs during the block."""

    role: ClassVar[str]

    def __init__(self, program: Path | Sequence[str], url: str, **settings: Any) -> None:
        words = [str(program)] if isinstance(program, Path) else program
        self._command = [*words, self.role, url, msgspec.json.encode(settings).decode()]
        self._answers: dict[int, asyncio.Future[_Line]] = {}
        self._ids = itertools.count(1)
        self._events: list[Event] = []
        self._news = asyncio.Condition()
        self._gone = False
        self._log: list[str] = []
        self._process: Process | None = None
        self._listening: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=LONGEST,
            cwd=ROOT,
            start_new_session=True,
        )
        self._listening = [
            asyncio.create_task(self._read_output()),
            asyncio.create_task(self._read_log()),
        ]
        try:
            await self.event("ready")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.signal_all(SIGKILL)
        await self.ended()

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def log(self) -> str:
        """The standard error of the peer."""
        return "\n".join(self._log)

    # --- requests -----------------------------------------------------------------------------------

    async def ask(self, do: str, answer: type[T] | Any = Any, /, **arguments: Any) -> Any:
        """Send a request; return the answer as the given type. Raises PeerError."""
        number = next(self._ids)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._running.stdin is not None
        self._running.stdin.write(msgspec.json.encode({"id": number, "do": do, "with": arguments}) + b"\n")
        async with self._within_timeout(f"no answer to {do!r}"):
            line = await future
        if line.error is not None:
            raise PeerError(msgspec.convert(line.error, GoProblem))
        return msgspec.convert(line.ok, answer)

    # --- events --------------------------------------------------------------------------------

    async def event(
        self, name: str, *, id: str | None = None, where: Callable[[Event], bool] = lambda _: True
    ) -> Event:
        """The next event with this name (and of this task). Each event is returned once, in order."""
        async with self._within_timeout(f"no event {name!r} of {id or 'any task'}"), self._news:
            while True:
                for event in self._events:
                    if event.event == name and id in (None, (event.task or {}).get("id")) and where(event):
                        self._events.remove(event)
                        return event
                if self._gone:
                    raise AssertionError(
                        self._report(f"ended without an event {name!r} of {id or 'any task'}")
                    )
                await self._news.wait()

    def waiting(self, name: str) -> list[Event]:
        """The events with this name that have not been returned yet."""
        return [event for event in self._events if event.event == name]

    # --- ending -----------------------------------------------------------------------------------

    def signal(self, number: Signals) -> None:
        self._running.send_signal(number)

    def signal_all(self, number: Signals) -> None:
        """Send a signal to the peer and its child processes, such as the lease keeper."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def terminate(self) -> int:
        """Terminate with SIGTERM; return the exit status."""
        self.signal(SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """Kill with SIGKILL, as when the machine fails."""
        self.signal_all(SIGKILL)
        await self.ended()

    async def ended(self) -> int:
        """Wait until the process has ended and its output is read; return the exit status."""
        async with self._within_timeout("it does not end"):
            status = await self._running.wait()
            await asyncio.gather(*self._listening)
        if self._running.stdin is not None:
            self._running.stdin.close()
        return status

    # --- internals --------------------------------------------------------------------------------------

    @property
    def _running(self) -> Process:
        assert self._process is not None, "use it by `async with`"
        return self._process

    @contextlib.asynccontextmanager
    async def _within_timeout(self, problem: str) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT):
                yield
        except TimeoutError:
            raise AssertionError(self._report(f"{problem} in {TIMEOUT:.0f} s")) from None

    def _report(self, problem: str) -> str:
        events = "\n".join(str(event) for event in self._events[-20:])
        log = "\n".join(self._log[-40:])
        return f"{type(self).__name__}: {problem}\n--- its last events\n{events}\n--- its log\n{log}"

    async def _read_output(self) -> None:
        assert self._running.stdout is not None
        async for text in self._running.stdout:
            if not text.endswith(b"\n"):
                break  # killed in the middle of a line
            line = msgspec.json.decode(text, type=_Line)
            if line.event:
                async with self._news:
                    self._events.append(msgspec.json.decode(text, type=Event))
                    self._news.notify_all()
            elif not (answer := self._answers.pop(line.id)).done():
                answer.set_result(line)
        async with self._news:
            self._gone = True
            self._news.notify_all()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(AssertionError(self._report("ended without an answer")))

    async def _read_log(self) -> None:
        assert self._running.stderr is not None
        async for line in self._running.stderr:
            self._log.append(line.decode(errors="replace").rstrip())
