"""A small process beside a worker server that keeps its leases while the server cannot run Python .

The heartbeat thread needs the GIL; a handler that holds it in C for a minute would cost every lease of the
server. So the server ticks into this process's standard input; when the ticks fail to come, leases are
renewed from here, by owner, until they come again. When the server dies, the input ends and so does this,
and the leases lapse as they should.
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
    """Until the input ends."""
    async with open_broker(job.url) as broker:
        os.write(output, b".")  # the server waits for this before it takes its first task
        silent_since = time.monotonic()
        reported = False
        while True:
            ready, _, _ = select.select([input], [], [], job.patience)
            if ready:
                if not os.read(input, 4096):
                    return
                if reported:
                    log.warning(
                        "server %s runs again after %.0f s", job.owner, time.monotonic() - silent_since
                    )
                silent_since, reported = time.monotonic(), False
                continue
            try:
                renewed = await broker.renew_owner(job.owner, job.lease)
            except BrokerError as error:
                log.warning("leases of server %s could not be kept: %s", job.owner, error)
                continue
            if not reported and renewed:
                reported = True
                log.warning(
                    "server %s has not run Python for %.1f s (something holds the GIL): keeping its %d leases",
                    job.owner,
                    time.monotonic() - silent_since,
                    renewed,
                )


def main() -> None:
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
