"""A TCP proxy in a separate process that delays or breaks connections on demand.

Its methods are synchronous and take about 0.1 ms; on an event loop, use `asyncio.to_thread`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

ROOT = Path(__file__).parents[2]


class DelayingProxy:
    """Listens on `port` and forwards data to the local port `target` after `delay` seconds.

    Each direction is delayed, so a round trip takes twice the delay. Data in flight is delayed in parallel: a delay
    does not reduce the throughput.
    """

    def __init__(self, target: int, delay: float = 0.0) -> None:
        self._target = target
        self._delay = delay
        self._popen: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.port = 0

    def start(self) -> Self:
        """Start the process."""
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.network.proxy_process", str(self._target)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.port = int(self._answer())
        self.set_delay(self._delay)
        return self

    def stop(self) -> None:
        """Close all connections and end the process."""
        if self._popen is not None:
            self._popen.communicate()
            self._popen = None

    def set_delay(self, seconds: float) -> None:
        """Set the delay of each direction."""
        self._call("set_delay", seconds)

    def connections(self) -> int:
        """The number of connected clients."""
        return int(self._call("connections"))

    def cut(self) -> int:
        """Reset all connections and discard data in flight; return their number. New connections are accepted."""
        return int(self._call("cut"))

    def stall(self) -> None:
        """Forward no data until `resume`. Connections stay open and new ones are accepted."""
        self._call("stall")

    def resume(self) -> None:
        """Continue after `stall`, without loss of data."""
        self._call("resume")

    def drop_replies(self, after: str = "", times: int = 1) -> None:
        """Discard the replies to the next `times` requests that contain `after`.

        The request is forwarded. When its reply arrives, so after its effect, the connection is reset instead.
        Pending replies to earlier requests of the connection are lost too.
        """
        self._call("drop_replies", after, times)

    def dropped(self) -> int:
        """The number of replies that `drop_replies` has discarded."""
        return int(self._call("dropped"))

    def _call(self, method: str, *arguments: Any) -> Any:
        if self._popen is None or self._popen.stdin is None:
            raise RuntimeError("the proxy is not running")
        with self._lock:
            self._popen.stdin.write(msgspec.json.encode([method, *arguments]) + b"\n")
            self._popen.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        assert self._popen is not None
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError("the proxy process has died; see its standard error")
        return msgspec.json.decode(line)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
