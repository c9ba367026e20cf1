"""A network that is slow or that breaks, on command: a TCP proxy in a process of its own.

Its methods are synchronous and take some 0.1 ms; on an event loop use `asyncio.to_thread`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

ROOT = Path(__file__).parents[1]


class DelayingProxy:
    """Listens on `port` and passes on to the port `target` of this machine what comes, `delay` seconds later.

    It delays each direction by as much, so a round trip takes twice the delay. What is under way together arrives
    together: a delay costs no throughput.
    """

    def __init__(self, target: int, delay: float = 0.0) -> None:
        self._target = target
        self._delay = delay
        self._popen: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self.port = 0

    def start(self) -> Self:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.wire", str(self._target)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.port = int(self._answer())
        self.set_delay(self._delay)
        return self

    def stop(self) -> None:
        """End all connections and the process."""
        if self._popen is not None:
            self._popen.communicate()
            self._popen = None

    def set_delay(self, seconds: float) -> None:
        """From now on each direction takes so long."""
        self._do("set_delay", seconds)

    def connections(self) -> int:
        """How many clients are connected."""
        return int(self._do("connections"))

    def cut(self) -> int:
        """Reset all connections at once and lose what is under way. New ones are welcome. Returns how many."""
        return int(self._do("cut"))

    def stall(self) -> None:
        """Move nothing any more, though connections stay and new ones are accepted, until `resume`."""
        self._do("stall")

    def resume(self) -> None:
        """Go on where it stopped. Nothing was lost."""
        self._do("resume")

    def drop_replies(self, after: str = "", times: int = 1) -> None:
        """Lose the answer to the next request that contains `after`, so many times.

        The request is passed on. When its answer comes, which is when it has had its effect, the connection is reset
        instead. Answers to earlier requests of that connection that are still to come are lost with it.
        """
        self._do("drop_replies", after, times)

    def dropped(self) -> int:
        """How many answers `drop_replies` has lost so far."""
        return int(self._do("dropped"))

    def _do(self, what: str, *how: Any) -> Any:
        if self._popen is None or self._popen.stdin is None:
            raise RuntimeError("this proxy does not run")
        with self._lock:
            self._popen.stdin.write(msgspec.json.encode([what, *how]) + b"\n")
            self._popen.stdin.flush()
            return self._answer()

    def _answer(self) -> Any:
        assert self._popen is not None
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError("the proxy has died; what it said is on standard error")
        return msgspec.json.decode(line)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
