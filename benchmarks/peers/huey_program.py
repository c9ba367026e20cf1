# mypy: ignore-errors
"""Runs in the virtual environment of huey, without asynqio, and prints tasks per second."""

import logging
import sys
import threading
import time

from huey import SqliteHuey
from huey.storage import SqliteStorage


class Storage(SqliteStorage):
    """Sets synchronous = NORMAL, as asynqio does: huey supports only OFF and FULL."""

    def _create_connection(self):
        connection = super()._create_connection()
        connection.execute("PRAGMA synchronous = 1")
        return connection


command, path, count, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
huey = SqliteHuey(filename=path, storage_class=Storage, results=False, journal_mode="wal")
logging.getLogger("huey").setLevel(logging.ERROR)
lock = threading.Lock()
finished = threading.Event()
left = count


@huey.task()
def noop(to, subject, template, customer):
    global left
    with lock:
        left -= 1
        if not left:
            finished.set()


began = time.perf_counter()
for _ in range(count):
    noop("ann@example.org", "Welcome", "welcome-2026", 4711)
if command == "drain":
    consumer = huey.create_consumer(workers=threads, worker_type="thread", periodic=False, initial_delay=0.01)
    began = time.perf_counter()
    consumer.start()
    finished.wait()
    taken = time.perf_counter() - began
    consumer.stop()
else:
    taken = time.perf_counter() - began
print(count / taken)
