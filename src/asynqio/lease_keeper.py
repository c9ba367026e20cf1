"""A small process beside a worker server that renews its leases while the server cannot run Python.

The heartbeat thread needs the GIL, so a handler that holds it in C for a minute would cost every lease of the server.
The server writes ticks to this process's standard input. While they are missing, this process renews the leases by
owner. It exits when the server sends QUIT or dies, and the leases lapse. It watches the server's process: the end of
the input does not prove the server's death, because whatever the handlers forked holds the pipe as well.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import sys
import threading
import time

import msgspec

from asynqio.brokers import open_broker
from asynqio.errors import BrokerError, ConfigError
from asynqio.runtime.leases.keeper_job import QUIT, READY, KeeperJob
from asynqio.runtime.log_format import LogSettings, apply
from asynqio.runtime.parent import Parent

log = logging.getLogger("asynqio.keeper")


async def keep(job: KeeperJob, server: Parent, input: int, output: int) -> None:
    """Watch for ticks on `input` until QUIT. Writes one byte to `output` when it is ready."""
    async with open_broker(job.url) as broker:
        os.write(output, READY)  # the server waits for this before its first fetch
        silent_since = time.monotonic()
        reported = False
        while True:
            ready, _, _ = select.select([input], [], [], job.timeout)
            if ready:
                received = os.read(input, 4096)
                if not received or QUIT in received:
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
            if not server.alive:
                return
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
    """Read the job from standard input and watch the server, whose process id is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = Parent(int(sys.argv[1]))
    threading.Thread(target=server.exit_with, args=(0,), daemon=True).start()
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as input:
        line = input.readline()
        if not line.endswith(b"\n"):
            return  # the server has died
        job = msgspec.json.decode(line, type=KeeperJob)
        # Its standard output is a pipe to the server.
        apply(msgspec.structs.replace(job.logging or LogSettings(), stream="stderr"))
        try:
            asyncio.run(keep(job, server, input.fileno(), sys.stdout.fileno()))
        except BrokenPipeError:
            return  # the server has died
        except (BrokerError, ConfigError) as error:
            log.warning(
                "the lease keeper of server %s could not open the broker: %s",
                job.owner,
                error,
                extra={"event": "lease_renewal_failed", "server_id": job.owner, "error": str(error)},
            )
            sys.exit(1)


if __name__ == "__main__":
    main()
