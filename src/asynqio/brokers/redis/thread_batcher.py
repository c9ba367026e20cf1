"""Combines the items of concurrent threads into few calls: one thread makes the call for all that wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
O_co = TypeVar("O_co", covariant=True)


class BatchCall(Protocol[O_co]):
    """One call for a batch of items."""

    def run(self) -> Sequence[O_co | Exception]:
        """Make the call; the answers are aligned with the items. If a thread is interrupted in it, another thread
        calls it again to complete what was begun."""
        ...


class _Caller(Generic[I, O]):
    """A thread that waits for its answer, or for its turn to make the next call."""

    __slots__ = ("answer", "answered", "batch", "call", "following", "gone", "item", "thread", "woken")

    def __init__(self, item: I) -> None:
        self.item = item
        self.thread = threading.get_ident()
        self.answer: O | Exception | None = None
        self.answered = False
        #: Interrupted: its thread no longer waits.
        self.gone = False
        #: When it is this thread's turn: the callers to get answers for, and their call once it is made.
        self.batch: list[_Caller[I, O]] = []
        self.call: BatchCall[O] | None = None
        #: The thread to wake when this one has been woken for its answer.
        self.following: _Caller[I, O] | None = None
        #: Released when there may be an answer or a turn.
        self.woken = threading.Lock()


class ThreadBatcher(Generic[I, O]):
    """Turns single items of threads into calls of `make_call`.

    A thread that is alone makes its call itself, without a switch to another thread. Items that arrive during a call
    share the next one, which one of their threads makes. A thread that is interrupted (Ctrl-C) withdraws its item
    unless that is on its way; if it was making a call, another thread of the same call completes it.

    The threads of a call are woken one by one, each by the one before it: woken together, they contend for the
    interpreter. Measured with 20 threads: 1.6 instead of 4.9 context switches per item, and a quarter less CPU time.
    """

    def __init__(
        self, make_call: Callable[[list[I]], BatchCall[O]], take: Callable[[Sequence[I]], int]
    ) -> None:
        """`take` returns how many of the waiting items the next call takes, at least one."""
        self._make_call = make_call
        self._take = take
        self.reset()

    def reset(self) -> None:
        """Forget all callers: after a fork, their threads do not exist."""
        # Reentrant, because a signal handler may interrupt its holder at any point.
        self._lock = threading.RLock()
        #: The caller whose turn it is; None: no call is under way.
        self._turn: _Caller[I, O] | None = None
        self._waiting: list[_Caller[I, O]] = []

    @property
    def is_mine(self) -> bool:
        """Whether this thread is making a call. Then code that interrupts it, a signal handler or a finalizer, must
        not call `submit`: it would wait for its own thread."""
        turn = self._turn
        return turn is not None and turn.thread == threading.get_ident()

    def submit(self, item: I) -> O:
        """Block until this item is answered. Raises the exception that is its answer, or that the call raised."""
        caller: _Caller[I, O] = _Caller(item)
        try:
            with self._lock:
                if self._turn is None:
                    caller.batch.append(caller)
                    self._turn = caller
                else:
                    caller.woken.acquire()
                    self._waiting.append(caller)
            if self._turn is not caller:
                self._wait(caller)
            if self._turn is caller:
                self._run(caller)
                self._finish(caller)
        except BaseException:
            self._withdraw(caller)
            raise
        if isinstance(caller.answer, Exception):
            raise caller.answer
        return caller.answer  # type: ignore[return-value]

    def _wait(self, caller: _Caller[I, O]) -> None:
        while True:
            caller.woken.acquire()
            with self._lock:
                if caller.answered or self._turn is caller:
                    break
        self._wake(caller.following)

    def _wake(self, caller: _Caller[I, O] | None) -> None:
        if caller is not None and caller.woken.locked():
            caller.woken.release()

    def _run(self, caller: _Caller[I, O]) -> None:
        """Get the answers for the callers of a batch."""
        batch = caller.batch
        answers: Sequence[O | Exception]
        try:
            if caller.call is None:
                caller.call = self._make_call([member.item for member in batch])
            answers = caller.call.run()
        except Exception as error:
            answers = [error] * len(batch)
        for member, answer in zip(batch, answers, strict=True):
            member.answer = answer
            if member is not caller:
                member.answered = True
        caller.answered = True

    # An interruption may arrive between any two steps. So the methods below can be called again, and what belongs
    # together is one assignment.

    def _finish(self, caller: _Caller[I, O]) -> None:
        """Pass the turn on, and wake the callers of an answered batch: the first of them, which wakes the next."""
        self._pass_on(caller)
        # The main thread comes last, because a signal handler may occupy it for any time.
        main = threading.main_thread().ident
        following: _Caller[I, O] | None = None
        with self._lock:
            waiting = [member for member in caller.batch if member is not caller and not member.gone]
            waiting.sort(key=lambda member: member.thread == main)
            for member in reversed(waiting):
                member.following, following = following, member
        self._wake(following)

    def _pass_on(self, caller: _Caller[I, O]) -> None:
        """Give the turn of `caller` to a thread of its batch if that has no answers yet, else to one that waits."""
        with self._lock:
            if self._turn is not caller:
                return
            batch, call, rest = caller.batch, caller.call, self._waiting
            following = None if caller.answered else next((other for other in batch if not other.gone), None)
            if following is None and rest:
                count = self._take([waiting.item for waiting in rest])
                batch, call, rest = rest[:count], None, rest[count:]
                following = batch[0]
            if following is not None:
                following.batch, following.call = batch, call
                self._wake(following)  # it waits for the lock now
            self._turn, self._waiting = following, rest

    def _withdraw(self, caller: _Caller[I, O]) -> None:
        """A caller was interrupted: let others continue."""
        with self._lock:
            caller.gone = True
            self._waiting = [other for other in self._waiting if other is not caller]
        self._wake(caller.following)
        if caller.answered:
            self._finish(caller)
        else:
            self._pass_on(caller)
