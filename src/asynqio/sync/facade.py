"""Opening and closing: what the blocking classes share."""

from __future__ import annotations

import atexit
import threading
from typing import Self

from asynqio.brokers.contract.broker import Store
from asynqio.brokers.contract.processes import reset_after_fork
from asynqio.config import store_of
from asynqio.sync.portal import PORTAL, Portal, refuse_loop


class Facade:
    """A broker, and the event loop thread of this process, from `open` to `close`. It stays open in a forked
    child."""

    def __init__(self, broker: str | Store | None) -> None:
        self.broker, self._owned = store_of(broker)
        self._opening = threading.Lock()
        self._is_open = False
        self._opens_itself = False
        self._portal: Portal | None = None
        reset_after_fork(self)

    def open(self, *, own_broker: bool | None = None, now: bool = True) -> Self:
        """Open without a `with` block, for an object that lives as long as the process. `own_broker`: whether to
        open and close the broker too. With `now=False` the first call opens it. Raises RuntimeError on a thread that
        runs an event loop."""
        if own_broker is not None:
            self._owned = own_broker
        if not now:
            self._opens_itself = True
            return self
        if self._owned:
            refuse_loop()
        with self._opening:
            self._start()
        return self

    def close(self) -> None:
        """Close. No effect the second time."""
        if self._owned and self._portal is not None:
            refuse_loop()
        with self._opening:
            portal, self._portal = self._portal, None
            self._is_open = False
        if portal is not None:
            atexit.unregister(self.close)
            try:
                if self._owned:
                    portal.call(self.broker.__aexit__, None, None, None)
            finally:
                PORTAL.release()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def _through(self) -> Portal:
        return self._portal or self._reopen()

    def _reopen(self) -> Portal:
        if self._opens_itself:
            refuse_loop()
        with self._opening:
            if not self._is_open and not self._opens_itself:
                raise RuntimeError("not open: use it in a `with` block, or call open() first")
            return self._start()

    def _start(self) -> Portal:
        """Start what is not running: everything, or the thread after a fork. (A broker stays open in the child.)"""
        if self._portal is not None:
            return self._portal
        portal = PORTAL.acquire()
        try:
            if self._owned and not self._is_open:
                portal.call(self.broker.__aenter__)
        except BaseException:
            PORTAL.release()
            raise
        atexit.register(self.close)
        self._is_open = True
        self._portal = portal
        return portal

    def _after_fork(self) -> None:
        self._opening = threading.Lock()
        self._portal = None
