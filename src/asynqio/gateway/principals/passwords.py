"""Passwords: hashed with Argon2id, in own threads."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError, VerifyMismatchError

from asynqio.errors import TooManyAttempts

T = TypeVar("T")

#: What OWASP recommends at least: KiB of memory, passes over it, lanes.
MEMORY_KIB, PASSES, LANES = 19 * 1024, 2, 1
#: Hashes computed at a time. Each takes 19 MiB and about 20 ms of one core.
THREADS = 2
#: Hashes that may wait for a thread, and how many more may wait for those who succeeded before.
MAX_WAITING, RESERVED = 32, 32
#: Verified passwords that are remembered.
MAX_VERIFIED = 4_096
#: Most characters of a password.
MAX_PASSWORD = 1_024

log = logging.getLogger("asynqio.gateway")


def default_hasher() -> PasswordHasher:
    """A hasher with the parameters of new hashes."""
    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES, type=Type.ID)


def password_problem(password: str) -> str:
    """Why this cannot be a password; empty if it can."""
    if not password:
        return "must not be empty"
    if len(password) > MAX_PASSWORD:
        return f"has {len(password):,} characters, at most {MAX_PASSWORD:,} are allowed"
    if any("\ud800" <= char <= "\udfff" for char in password):
        return "must be valid Unicode"
    return ""


def hash_problem(stored: str) -> str:
    """Why this is no hash that can be verified; empty if it is one."""
    try:
        kind = extract_parameters(stored).type
    except (InvalidHashError, ValueError):
        kind = None
    return "" if kind is Type.ID else "must be an Argon2id hash, which starts with $argon2id$"


class Passwords:
    """Hashes and verifies passwords off the event loop. Close it with `aclose`.

    A verified password is remembered by an HMAC over it and its hash, with a key that only this process knows, so
    repeated requests of one user cost one hash. A changed hash is verified again.
    """

    def __init__(
        self,
        *,
        hasher: PasswordHasher | None = None,
        threads: int = THREADS,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._hasher = hasher or default_hasher()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="asynqio passwords")
        self._slots = threads + max_waiting
        self._running: set[asyncio.Future[Any]] = set()
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, None] = OrderedDict()
        self._dummy = _never_matching(self._hasher)

    async def hash(self, password: str) -> str:
        """The hash of a password, to be stored. Not limited: for administrators and at start."""
        return await self._in_thread(lambda: self._hasher.hash(password))

    def needs_rehash(self, stored: str) -> bool:
        """Whether a hash was made with weaker parameters than those of new hashes."""
        found = extract_parameters(stored)
        return (
            found.memory_cost < self._hasher.memory_cost
            or found.time_cost < self._hasher.time_cost
            or found.hash_len < self._hasher.hash_len
            or found.salt_len < self._hasher.salt_len
        )

    def is_verified(self, stored: str, password: str) -> bool:
        """Whether this password was verified against this hash before; cheap."""
        mark = self._mark(stored, password)
        if mark not in self._verified:
            return False
        self._verified.move_to_end(mark)
        return True

    async def verify(
        self, stored: Sequence[str], password: str, *, runs: int = 1, reserved: bool = False
    ) -> int | None:
        """The index of the hash that the password belongs to; None: of none.

        A wrong password costs at least `runs` hashes, so an account without hashes takes as long as any other. Raises
        TooManyAttempts if too many verifications wait for a thread; `reserved` ones have places of their own.
        """
        if len(self._running) >= self._slots + (RESERVED if reserved else 0):
            raise TooManyAttempts(1.0)
        found = await self._in_thread(lambda: self._verify(tuple(stored), password, runs))
        if found is not None:
            self._verified[self._mark(stored[found], password)] = None
            while len(self._verified) > MAX_VERIFIED:
                self._verified.popitem(last=False)
        return found

    async def aclose(self) -> None:
        """Wait for the hashes that are being computed, and end the threads."""
        self._pool.shutdown(wait=False)
        await asyncio.gather(*self._running, return_exceptions=True)

    def _verify(self, stored: tuple[str, ...], password: str, runs: int) -> int | None:
        for index, one in enumerate(stored):
            if self._matches(one, password):
                return index
        for _ in range(runs - len(stored)):
            self._matches(self._dummy, password)
        return None

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False
        except (Argon2Error, InvalidHashError, UnicodeEncodeError) as error:
            log.error(
                "a password could not be verified: %s",
                type(error).__name__,
                extra={"event": "password_not_verified", "error": type(error).__name__},
            )
            return False

    async def _in_thread(self, call: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await asyncio.shield(future)

    def _mark(self, stored: str, password: str) -> bytes:
        text = f"{stored}\0{password}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, text, hashlib.sha256)


def _never_matching(hasher: PasswordHasher) -> str:
    """A hash of no password, as expensive to verify as those that the hasher makes."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"
