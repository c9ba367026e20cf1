"""A small process beside a worker server that renews its leases while the server cannot run Python.

The heartbeat thread needs the GIL, so a handler that holds it in C for a minute would cost every lease of the server.
The server writes ticks to this process's standard input. While they are missing, this process renews the leases by
owner. When the server dies, the input ends, this process exits, and the leases lapse.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import sys
import time

import msgspec

from asynqio.brokers import open_broker
from asynqio.errors import BrokerError
from asynqio.runtime.leases.keeper_job import KeeperJob
from asynqio.runtime.log_format import LogSettings, apply

log = logging.getLogger("asynqio.keeper")


async def keep(job: KeeperJob, input: int, output: int) -> None:
    """Watch for ticks on `input` until it ends. Writes one byte to `output` when it is ready."""
    async with open_broker(job.url) as broker:
        os.write(output, b".")  # the server waits for this before its first fetch
        silent_since = time.monotonic()
        reported = False
        while True:
            ready, _, _ = select.select([input], [], [], job.timeout)
            if ready:
                if not os.read(input, 4096):
                    return
                if reported:
                    seconds = time.monotonic() - silent_since
                    log.warning(
                        "server %s runs again after %.0f s",
                        job.owner,
                        seconds,
                        extra={
                            "event": "server_thawed",
                            "server_id": job.owner,
                            "seconds": round(seconds, 3),
                        },
                    )
                silent_since, reported = time.monotonic(), False
                continue
            try:
                renewed = await broker.renew_owner(job.owner, job.lease)
            except BrokerError as error:
                log.warning(
                    "leases of server %s could not be renewed: %s",
                    job.owner,
                    error,
                    extra={"event": "lease_renewal_failed", "server_id": job.owner, "error": str(error)},
                )
                continue
            if not reported and renewed:
                reported = True
                seconds = time.monotonic() - silent_since
                log.warning(
                    "server %s has not run Python for %.1f s (something holds the GIL); renewing its %d leases",
                    job.owner,
                    seconds,
                    renewed,
                    extra={
                        "event": "server_frozen",
                        "server_id": job.owner,
                        "seconds": round(seconds, 3),
                        "count": renewed,
                    },
                )


def main() -> None:
    """Read the job from standard input and watch the server."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as input:
        if line := input.readline():
            job = msgspec.json.decode(line, type=KeeperJob)
            settings = job.logging or LogSettings()
            # Its standard output is a pipe to the server.
            apply(msgspec.structs.replace(settings, stream="stderr"))
            asyncio.run(keep(job, input.fileno(), sys.stdout.fileno()))


if __name__ == "__main__":
    main()
