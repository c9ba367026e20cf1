"""A TCP proxy between client and gateway that loses what the test wants lost."""

from __future__ import annotations

import asyncio
from typing import Self


class Proxy:
    """Forwards connections to a port of this machine."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        #: Whether what the gateway sends is lost, and what clients send.
        self.lose_answers = self.lose_calls = False
        #: Set when something was lost.
        self.lost = asyncio.Event()
        self.connections = 0
        #: Set by each connection; a test clears it.
        self.connected = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """The URL of the gateway through this proxy, without a path."""
        return f"ws://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break all connections, and forward again what comes on new ones."""
        self.lose_answers = self.lose_calls = False
        self.lost.clear()
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.connected.set()
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, back]
        for source, sink, answers in ((reader, back, False), (there, writer, True)):
            task = asyncio.create_task(self._copy(source, sink, answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        try:
            while data := await source.read(65_536):
                if self.lose_answers if answers else self.lose_calls:
                    self.lost.set()
                else:
                    sink.write(data)
        except ConnectionError:
            return
        finally:
            sink.close()
