"""A broker that fails on command: how does your code behave when the store is away?"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

from asynqio.brokers.contract.broker import Store
from asynqio.errors import BrokerUnavailable


class _Plan:
    """What shall fail, and how often; one for all clones."""

    def __init__(self) -> None:
        self.failures: dict[str, float] = {}
        self.error: BaseException = BrokerUnavailable("the broker was told to fail")
        self.after = False
        self.calls: dict[str, int] = {}

    def next(self, name: str) -> bool:
        """Count a call of `name`; whether it shall fail."""
        self.calls[name] = self.calls.get(name, 0) + 1
        for key in (name, "*"):
            left = self.failures.get(key, 0)
            if left > 0:
                self.failures[key] = left - 1
                return True
        return False


class Flaky:
    """Wraps any broker; passes everything through until told otherwise.

        flaky = Flaky(open_broker("memory://"))
        app = App(flaky.broker)
        flaky.fail(3, "settle")          # the next three calls of settle raise BrokerUnavailable
        flaky.fail()                     # every call does …
        flaky.recover()                  # … until here

    `after=True` carries the call out and then raises, like a reply that was lost on the way.
    """

    def __init__(self, store: Store, plan: _Plan | None = None) -> None:
        self._store = store
        self._plan = plan or _Plan()

    @property
    def broker(self) -> Store:
        """The wrapped broker, to be used instead of the real one."""
        return cast("Store", self)

    def fail(
        self,
        times: float = float("inf"),
        *methods: str,
        error: BaseException | None = None,
        after: bool = False,
    ) -> None:
        """Let the next `times` calls of the methods named (of all when none is) raise `error`."""
        plan = self._plan
        plan.failures = dict.fromkeys(methods or ("*",), times)
        plan.error = error or BrokerUnavailable("the broker was told to fail")
        plan.after = after

    def recover(self) -> None:
        """Fail no more."""
        self._plan.failures = {}

    @property
    def calls(self) -> dict[str, int]:
        """How often each method was called."""
        return self._plan.calls

    def clone(self) -> Store:
        """A clone fails together with this one."""
        return Flaky(self._store.clone(), self._plan).broker

    async def __aenter__(self) -> Flaky:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._store.__aexit__(*exc)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._store, name)
        if not inspect.iscoroutinefunction(value):
            return value
        return functools.partial(self._call, name, value)

    async def _call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        plan = self._plan
        failing = plan.next(name)
        if failing and not plan.after:
            raise plan.error
        answer = await method(*args, **kwargs)
        if failing:
            raise plan.error
        return answer
