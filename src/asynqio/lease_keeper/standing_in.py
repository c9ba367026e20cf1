"""What a lease keeper does while its server cannot run Python: renews the server's leases."""

from __future__ import annotations

import asyncio
import logging
import os
import time

import msgspec

from asynqio.brokers import open_broker
from asynqio.errors import BrokerError, ConfigError
from asynqio.runtime.leases.keeper_job import KeeperJob
from asynqio.runtime.log_format import LogSettings, apply
from asynqio.runtime.parent import Parent

log = logging.getLogger("asynqio.keeper")


def stand_in(line: bytes, server: Parent, input: int, silent_since: float) -> bytes:
    """Renew the leases of a KeeperJob, given as JSON, until there is something on `input`. Returns that; nothing if
    the server has died. `silent_since` is the monotonic time of the last tick."""
    job = msgspec.json.decode(line, type=KeeperJob)
    # Standard output is a pipe to the server.
    apply(msgspec.structs.replace(job.logging or LogSettings(), stream="stderr"))
    standing_in = _StandingIn(job, server, silent_since)
    asyncio.run(standing_in.until_readable(input))
    received = os.read(input, 4096) if server.alive else b""
    if received:
        standing_in.report_end()
    return received


class _StandingIn:
    def __init__(self, job: KeeperJob, server: Parent, silent_since: float) -> None:
        self._job = job
        self._server = server
        self._silent_since = silent_since
        self._reported = False

    async def until_readable(self, input: int) -> None:
        """Renew leases until `input` can be read or the server has died."""
        loop = asyncio.get_running_loop()
        renewals = asyncio.create_task(self._renew())
        watched = [input] if self._server.descriptor is None else [input, self._server.descriptor]

        def stop() -> None:
            for descriptor in watched:
                loop.remove_reader(descriptor)
            renewals.cancel()

        for descriptor in watched:
            loop.add_reader(descriptor, stop)
        await asyncio.wait([renewals])
        if not renewals.cancelled():
            stop()
            await renewals

    async def _renew(self) -> None:
        while self._server.alive:
            try:
                async with open_broker(self._job.url) as broker:
                    while self._server.alive:
                        self._report(await broker.renew_owner(self._job.owner, self._job.lease))
                        await asyncio.sleep(self._job.interval)
            except (BrokerError, ConfigError) as error:
                log.warning(
                    "leases of server %s could not be renewed: %s",
                    self._job.owner,
                    error,
                    extra={
                        "event": "lease_renewal_failed",
                        "server_id": self._job.owner,
                        "error": str(error),
                    },
                )
            await asyncio.sleep(self._job.interval)

    def _report(self, renewed: int) -> None:
        if self._reported or not renewed:
            return
        self._reported = True
        seconds = time.monotonic() - self._silent_since
        log.warning(
            "server %s has not run Python for %.1f s (something holds the GIL); renewing its %d leases",
            self._job.owner,
            seconds,
            renewed,
            extra={
                "event": "server_frozen",
                "server_id": self._job.owner,
                "seconds": round(seconds, 3),
                "count": renewed,
            },
        )

    def report_end(self) -> None:
        """Say that the server runs again, if leases were renewed."""
        if not self._reported:
            return
        seconds = time.monotonic() - self._silent_since
        log.warning(
            "server %s runs again after %.0f s",
            self._job.owner,
            seconds,
            extra={"event": "server_thawed", "server_id": self._job.owner, "seconds": round(seconds, 3)},
        )
