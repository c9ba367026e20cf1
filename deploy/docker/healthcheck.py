"""Health check of the container image: status 0 if the process of this container works, else 1 and the reason.

A metrics exporter is healthy if its endpoint answers. A worker or scheduler is healthy if the broker has a heartbeat
of this host: it is connected, and its process is not stuck. The broker is the one of ASYNQIO_BROKER. The port of an
exporter that does not use the default is the argument.
"""

from __future__ import annotations

import http.client
import socket
import sys

from asynqio.errors import AsynqioError
from asynqio.sync import Inspector

#: The default port of `asynqio metrics`.
EXPORTER = 9876
#: Seconds to wait for the exporter. It reads the broker while it answers.
TIMEOUT = 5.0


def exporter_answers(port: int) -> bool:
    """Whether a metrics exporter runs in this container."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def has_heartbeat(host: str) -> bool:
    """Whether the broker knows a worker server or a scheduler that runs on `host`. Raises AsynqioError."""
    with Inspector() as inspector:
        return any(server.host == host for server in inspector.servers()) or any(
            scheduler.host == host for scheduler in inspector.schedulers()
        )


def main() -> int:
    """Check, and print the reason if the container is unhealthy; the exit status."""
    host = socket.gethostname()
    port = int(sys.argv[1]) if len(sys.argv) > 1 else EXPORTER
    try:
        if exporter_answers(port) or has_heartbeat(host):
            return 0
    except AsynqioError as error:
        print(error)
        return 1
    print(f"the broker has no heartbeat of a worker or scheduler on {host}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
