"""Run a coroutine to its end in plain code, or hand it to `await` on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any


async def _nothing() -> None:
    return None


class Run(Coroutine[Any, Any, None]):
    """What `run_worker` and `run_scheduler` return.

    Without a running event loop the work is done when it is made; to await it afterwards
    (`asyncio.run(app.run_worker())`) does nothing more. On an event loop it is the coroutine to await.
    """

    _inner: Coroutine[Any, Any, None] | None = None

    def __init__(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(make())
            make = _nothing
        else:
            self._inner = make()
        self._make = make

    @property
    def _coroutine(self) -> Coroutine[Any, Any, None]:
        if self._inner is None:
            self._inner = self._make()
        return self._inner

    def send(self, value: Any, /) -> Any:
        return self._coroutine.send(value)

    def throw(
        self,
        typ: Any,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any:
        return self._coroutine.throw(typ if val is None else val)  # type: ignore[arg-type]

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._coroutine.__await__()
