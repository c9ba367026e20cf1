"""What a server and its lease keeper (asynqio/lease_keeper) write to each other, besides the job."""

from __future__ import annotations

#: The module to run.
KEEPER = "asynqio.lease_keeper"
#: The server runs Python.
TICK = b"."
#: The server has ended: exit.
QUIT = b"q"
#: From the keeper on its standard output: it watches the server.
READY = b"."
