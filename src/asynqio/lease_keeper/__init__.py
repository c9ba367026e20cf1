"""A small process beside a worker server that renews its leases while the server cannot run Python.

The heartbeat thread needs the GIL, so a handler that holds it in C for a minute would cost every lease of the server.
The server writes ticks to this process's standard input. While they are missing, this process renews the leases by
owner. It exits when the server sends QUIT or dies, and the leases lapse. It watches the server's process: the end of
the input does not prove the server's death, because whatever the handlers forked holds the pipe as well.

Until the first tick is missed, which most servers never do, the process imports next to nothing and holds no
connection.
"""
