"""Opening and closing: what the blocking classes share."""

from __future__ import annotations

import atexit
from typing import Self

from asynqio.brokers.contract.broker import Store
from asynqio.config import store_of
from asynqio.sync.portal import Portal, refuse_loop


class Facade:
    """A broker, and an event loop in its own thread, from `open` to `close`."""

    def __init__(self, broker: str | Store | None) -> None:
        self.broker, self._owned = store_of(broker)
        self._portal: Portal | None = None

    def open(self, *, own_broker: bool | None = None) -> Self:
        """Open without a `with` block, for an object that lives as long as the process. `own_broker`: whether to
        open and close the broker too. Raises RuntimeError on a thread that runs an event loop."""
        if self._portal is None:
            if own_broker is not None:
                self._owned = own_broker
            if self._owned:
                refuse_loop()
            self._portal = Portal()
            if self._owned:
                try:
                    self._portal.call(self.broker.__aenter__)
                except BaseException:
                    self._portal.close()
                    self._portal = None
                    raise
            atexit.register(self.close)
        return self

    def close(self) -> None:
        """Close. No effect the second time."""
        portal, self._portal = self._portal, None
        if portal is not None:
            atexit.unregister(self.close)
            try:
                if self._owned:
                    portal.call(self.broker.__aexit__, None, None, None)
            finally:
                portal.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def _through(self) -> Portal:
        if self._portal is None:
            raise RuntimeError("not open: use it in a `with` block, or call open() first")
        return self._portal
