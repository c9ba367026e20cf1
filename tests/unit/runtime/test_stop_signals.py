"""Signal handlers of a server, and what its forks inherit of them."""

from __future__ import annotations

import subprocess
import sys

#: Handles TERM, forks in a thread, and prints what the forks did and which signals arrived here.
PROGRAM = """
import asyncio, multiprocessing, os, signal, time
from asynqio.runtime.stop_signals import handle_signals

def fork():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(abs, [-1, -2]))
    stuck = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    stuck.start()
    stuck.terminate()  # perhaps before its first line
    interrupted = multiprocessing.get_context("fork").Process(target=signal.raise_signal, args=(signal.SIGINT,))
    interrupted.start()
    for process in (stuck, interrupted):
        process.join()
        print(process.exitcode)

async def main():
    arrived = []
    with handle_signals({"SIGTERM": lambda: arrived.append("TERM"), "SIGINT": lambda: arrived.append("INT")}):
        await asyncio.to_thread(fork)
        print(arrived)
        os.kill(os.getpid(), signal.SIGTERM)
        while not arrived:
            await asyncio.sleep(0.01)
        print(arrived)

asyncio.run(main())
"""


def test_forks_end_by_signals_that_their_parent_handles() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=30)
    assert run.stdout.splitlines() == ["[1, 2]", "-15", "1", "[]", "['TERM']"]
