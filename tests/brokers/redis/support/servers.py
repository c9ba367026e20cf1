"""A Redis server for tests, to start, kill, freeze and restart.

All of it is synchronous. On an event loop use `asyncio.to_thread`, or start the server in a sync fixture.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.brokers.redis.support.kill_on_exit import KillOnExit
from tests.brokers.redis.support.ports import free_port

if TYPE_CHECKING:
    from tests.brokers.redis.support.certificates import Certificates

#: Seconds that a server may take to start or to stop.
TIMEOUT = 15.0
#: Seconds between two checks of a starting server. Starting takes about 15 ms.
GLANCE = 0.002
#: The longest path of a Unix socket is 104 bytes on macOS, 108 on Linux.
LONGEST_SOCKET = 100
#: The user of `cli` on a server whose other users are restricted.
KEEPER = "keeper"


class MissingProgram(Exception):
    """A required program is not installed."""


def password(user: str) -> str:
    """The password of a user. It contains characters that must be escaped in a URL, as real ones do."""
    return f"{user}:p@ss/w%rd?"


class RedisServer:
    """One server with its data in `folder`. Nothing is kept when it stops, unless `aof` is set.

    `options` are lines of a redis.conf. `users` maps names to what they may do ("~asynq:* +@all"); with it the
    default user is off and `url` speaks for the first of them. With `tls` its port speaks nothing else. `cli` speaks
    RESP `protocol`.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        program: str = "redis-server",
        port: int | None = None,
        aof: Literal["always", "everysec"] | None = None,
        users: Mapping[str, str] | None = None,
        tls: Certificates | None = None,
        protocol: Literal[2, 3] = 3,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.users = dict(users or {})
        self.tls = tls
        self.log = folder / "server.log"
        self.socket = self._place_of_socket()
        self._options = options
        self._program = program
        self._aof = aof
        self._may_move = port is None
        self._configured = False
        self._popen: subprocess.Popen[bytes] | None = None
        self._leash: KillOnExit | None = None
        self._client = redis.Redis(
            unix_socket_path=str(self.socket),
            username=KEEPER if users else None,
            password=password(KEEPER) if users else None,
            protocol=protocol,
            decode_responses=True,
            socket_timeout=TIMEOUT,
            # Sentinels cut all connections of a server whose role they change.
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )

    # --- properties

    @property
    def running(self) -> bool:
        return self._popen is not None

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def url(self) -> str:
        return self.url_of(next(iter(self.users))) if self.users else self._url("")

    def url_of(self, user: str) -> str:
        """The URL with a user's name and password."""
        return self._url(f"{quote(user, safe='')}:{quote(password(user), safe='')}@")

    def cli(self, *words: str | int) -> Any:
        """The reply to one command, sent by a user with all permissions."""
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    def flush(self) -> None:
        """Delete all data and all scripts."""
        self.cli("FLUSHALL", "SYNC")
        self.cli("SCRIPT", "FLUSH", "SYNC")

    # --- life cycle

    def start(self) -> Self:
        """Start it, and return when it replies."""
        if self._popen is not None:
            raise RuntimeError(f"this server runs already, as process {self._popen.pid}")
        program = shutil.which(self._program)
        if program is None:
            raise MissingProgram(f"{self._program} is not installed: apt-get install {self._program}")
        self.folder.mkdir(parents=True, exist_ok=True)
        while not self._launched(program):
            self._move()
        self._may_move = False
        return self

    def stop(self) -> None:
        """Stop it cleanly. No error if it is not running; an error if it has crashed."""
        if self._popen is None:
            return
        popen = self._popen
        popen.send_signal(signal.SIGCONT)
        popen.send_signal(signal.SIGTERM)
        try:
            code = popen.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            popen.kill()
            code = popen.wait()
        self._buried()
        if code != 0:
            raise AssertionError(f"{self._program} ended with {code}:\n{self._last_words()}")

    def kill(self) -> None:
        """Kill it at once."""
        popen = self._running()
        popen.kill()
        popen.wait()
        self._buried()

    def restart(self) -> None:
        """Stop it if it is running, then start it on the same port with its stored data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open, but there are no replies."""
        pid = self._running().pid
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)

    def unpause(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- internals

    def _url(self, user: str) -> str:
        return f"{'rediss' if self.tls else 'redis'}://{user}127.0.0.1:{self.port}/0"

    def _command(self, program: str) -> list[str]:
        return [program, str(self._config)]

    @property
    def _config(self) -> Path:
        return self.folder / "redis.conf"

    def _lines(self) -> list[str]:
        lines = [
            "bind 127.0.0.1",
            *self._ports(),
            f"unixsocket {self.socket}",
            f"dir {self.folder}",
            'save ""',
            f"appendonly {'yes' if self._aof else 'no'}",
            f"appendfsync {self._aof or 'no'}",
            "shutdown-timeout 1",
            "repl-diskless-sync-delay 0",
            "repl-ping-replica-period 1",
        ]
        if self.users:
            lines += ["user default off", f"user {KEEPER} on >{password(KEEPER)} ~* &* +@all"]
            lines += [f"user {name} on >{password(name)} {rights}" for name, rights in self.users.items()]
        return [*lines, *self._options]

    def _ports(self) -> list[str]:
        if self.tls is None:
            return [f"port {self.port}"]
        return [
            "port 0",
            f"tls-port {self.port}",
            f"tls-ca-cert-file {self.tls.ca}",
            f"tls-cert-file {self.tls.server_cert}",
            f"tls-key-file {self.tls.server_key}",
            "tls-auth-clients optional",
        ]

    def _move(self) -> None:
        self.port = free_port()
        self._configured = False

    def _launched(self, program: str) -> bool:
        """Whether it replies; it does not if another process has taken the port."""
        if not self._configured:  # later the server may have written to it
            self._config.write_text("\n".join(self._lines()) + "\n")
            self._configured = True
        with self.log.open("ab") as log:
            seen = log.tell()
            self._popen = subprocess.Popen(
                self._command(program),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._leash = KillOnExit(self._popen.pid)
        end = time.monotonic() + TIMEOUT
        while not self._answers():
            if self._popen.poll() is not None:
                self._buried()
                if self._may_move and "Address already in use" in self._last_words(seen):
                    return False
                raise AssertionError(f"{self._program} does not start:\n{self._last_words(seen)}")
            if time.monotonic() > end:
                self.kill()
                raise AssertionError(f"{self._program} does not answer:\n{self._last_words(seen)}")
            time.sleep(GLANCE)
        return True

    def _answers(self) -> bool:
        try:
            return bool(self.cli("PING"))
        except redis.ConnectionError:  # not started yet, or still loading its data
            return False

    def _running(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError("this server does not run")
        return self._popen

    def _buried(self) -> None:
        self._popen = None
        self._client.close()
        if self._leash is not None:
            self._leash.release()
            self._leash = None

    def _last_words(self, since: int = 0) -> str:
        return self.log.read_bytes()[since:].decode(errors="replace")[-2000:]

    def _place_of_socket(self) -> Path:
        near = self.folder / "redis.sock"
        if len(os.fsencode(near)) <= LONGEST_SOCKET:
            return near
        return Path(tempfile.gettempdir()) / f"asynqio-redis-{self.port}-{os.getpid()}.sock"
