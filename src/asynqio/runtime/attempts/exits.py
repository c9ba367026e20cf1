"""Keeps what user code raises to leave the process (`sys.exit`, KeyboardInterrupt) from ending the server.

asyncio passes KeyboardInterrupt and SystemExit of any task through the event loop, which ends. So `Runner` catches
what leaves a handler, and tasks that a handler creates (also by gather, TaskGroup and wait_for) run inside `Guarded`.
Exceptions that a signal handler of this process raised are not user code's: they pass.
"""

from __future__ import annotations

import asyncio
import dis
import functools
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from types import CodeType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from asynqio.core.lifecycle import error_text
from asynqio.errors import HandlerExit
from asynqio.runtime.attempts.attempt import active_attempt

T = TypeVar("T")

#: Set while user code runs on the event loop outside an attempt.
_user_code: ContextVar[bool] = ContextVar("asynqio user code", default=False)

_RAISE = dis.opmap["RAISE_VARARGS"]


def exit_error(error: BaseException) -> HandlerExit:
    """The error of an attempt for an exception that is no `Exception`."""
    wrapped = HandlerExit(error_text(error))
    wrapped.__cause__ = error
    return wrapped


def is_from_signal(error: BaseException) -> bool:
    """Whether a signal handler of this process raised it: a real Ctrl-C, or the user's own handler of SIGTERM."""
    if not isinstance(error, KeyboardInterrupt | SystemExit):
        return False
    handlers = _signal_handlers()
    traceback, last = error.__traceback__, None
    while traceback is not None:
        if traceback.tb_frame.f_code in handlers:
            return True
        traceback, last = traceback.tb_next, traceback
    if not isinstance(error, KeyboardInterrupt) or last is None:
        return False
    # Python's default handler has no frame: it interrupts any instruction, and user code raises with one.
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    return last.tb_frame.f_code.co_code[last.tb_lasti] != _RAISE


def _signal_handlers() -> set[CodeType]:
    codes: set[CodeType] = set()
    if threading.current_thread() is not threading.main_thread():
        return codes
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        while isinstance(handler, functools.partial):
            handler = handler.func
        code = getattr(getattr(handler, "__func__", handler), "__code__", None)
        if code is not None:
            codes.add(code)
    return codes


async def guarded(awaitable: Awaitable[T]) -> T:
    """Await user code outside an attempt. Raises HandlerExit for what is no `Exception`."""
    token = _user_code.set(True)
    try:
        return await awaitable
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        if is_from_signal(error):
            raise
        raise exit_error(error) from error
    finally:
        _user_code.reset(token)


class Guarded(Coroutine[Any, Any, T]):
    """A coroutine that raises HandlerExit where the inner one raises KeyboardInterrupt or SystemExit."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Coroutine[Any, Any, T]) -> None:
        self._inner = inner

    def send(self, value: Any) -> Any:
        try:
            return self._inner.send(value)
        except (KeyboardInterrupt, SystemExit) as error:
            if is_from_signal(error):
                raise
            raise exit_error(error) from error

    def throw(self, *error: Any) -> Any:
        try:
            return self._inner.throw(*error)
        except (KeyboardInterrupt, SystemExit) as raised:
            if is_from_signal(raised):
                raise
            raise exit_error(raised) from raised

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Any:
        return self._inner.__await__()

    def __getattr__(self, name: str) -> Any:
        # Debuggers and libraries read cr_code, cr_frame and the like.
        return getattr(self._inner, name)


class TaskGuard:
    """The task factory that guards the tasks of user code on one event loop, around a factory that exists already.

    Servers on the same loop share it; the last one removes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._users = 0
        self._inner: Any = None
        #: Creates a task that is not guarded.
        self.create_task: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]] = loop.create_task

    @classmethod
    def enter(cls) -> TaskGuard:
        """Guard the running event loop, until `leave`."""
        loop = asyncio.get_running_loop()
        guard = _guards.get(loop)
        if guard is None:
            guard = _guards[loop] = cls(loop)
        if guard._users == 0:
            guard._install()
        guard._users += 1
        return guard

    def leave(self) -> None:
        """End one use of it."""
        self._users -= 1
        if self._users == 0 and not self._loop.is_closed() and self._loop.get_task_factory() == self._factory:
            self._loop.set_task_factory(self._inner)

    def _install(self) -> None:
        before: Any = self._loop.get_task_factory()
        if before != self._factory:
            self._inner = before
            self._loop.set_task_factory(self._factory)
        create: Any = asyncio.Task if self._inner is None else None
        if create is not None:
            self.create_task = functools.partial(create, loop=self._loop)
        else:
            self.create_task = functools.partial(self._inner, self._loop)

    def _factory(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        if active_attempt.get(None) is not None or _user_code.get():
            coroutine = Guarded(coroutine)
        if self._inner is None:
            return asyncio.Task(coroutine, loop=loop, **options)
        return self._inner(loop, coroutine, **options)


_guards: WeakKeyDictionary[asyncio.AbstractEventLoop, TaskGuard] = WeakKeyDictionary()
