"""A broker that fails on demand, to test code without a reachable store."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

from asynqio.brokers.contract.broker import Store
from asynqio.errors import BrokerUnavailable


class _Plan:
    """Which calls fail and how often; shared by all clones."""

    def __init__(self) -> None:
        self.failures: dict[str, float] = {}
        self.error: BaseException = BrokerUnavailable("failure requested by the test")
        self.after = False
        self.calls: dict[str, int] = {}

    def next(self, name: str) -> bool:
        """Count a call of `name`; return whether it fails."""
        self.calls[name] = self.calls.get(name, 0) + 1
        for key in (name, "*"):
            left = self.failures.get(key, 0)
            if left > 0:
                self.failures[key] = left - 1
                return True
        return False


class Flaky:
    """Wraps any broker and passes calls through until `fail` is called.

        flaky = Flaky(open_broker("memory://"))
        app = App(flaky.broker)
        flaky.fail(3, "settle")          # the next three calls of settle raise BrokerUnavailable
        flaky.fail()                     # all calls raise …
        flaky.recover()                  # … until here

    `after=True` executes the call and then raises, like a lost reply.
    """

    def __init__(self, store: Store, plan: _Plan | None = None) -> None:
        self._store = store
        self._plan = plan or _Plan()

    @property
    def broker(self) -> Store:
        """The wrapping broker, to use instead of the real one."""
        return cast("Store", self)

    def fail(
        self,
        times: float = float("inf"),
        *methods: str,
        error: BaseException | None = None,
        after: bool = False,
    ) -> None:
        """Let the next `times` calls of `methods` (default: of all methods) raise `error`."""
        plan = self._plan
        plan.failures = dict.fromkeys(methods or ("*",), times)
        plan.error = error or BrokerUnavailable("failure requested by the test")
        plan.after = after

    def recover(self) -> None:
        """Stop failing."""
        self._plan.failures = {}

    @property
    def calls(self) -> dict[str, int]:
        """Number of calls by method name."""
        return self._plan.calls

    def clone(self) -> Store:
        """A clone that fails together with this broker."""
        return Flaky(self._store.clone(), self._plan).broker

    def producer(self, run: object) -> None:
        """None, so that blocking clients fail too: they call `enqueue`."""

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
