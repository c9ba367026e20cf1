"""CPU work: in a process pool, killed at its timeout."""

import asyncio
import os

from asynqio import App, TaskFailed

app = App("memory://", retention=60)


@app.task("primes", run_in="process")
def count_primes(below: int) -> tuple[int, int]:
    found = sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, below))
    return found, os.getpid()


@app.task("hang", run_in="process", timeout=0.5, max_retry=0)
def hang() -> None:
    while True:
        pass


async def main() -> None:
    async with app, app.running(processes=2):
        handle, stuck = await count_primes.enqueue(10_000), await hang.enqueue()
        primes, pid = await handle.result(timeout=20)
        print("primes:", primes, "- in another process:", pid != os.getpid())
        try:
            await stuck.result(timeout=20)
        except TaskFailed as failed:
            print("killed:", "its timeout or deadline has passed" in failed.error)


# Task processes import this module; without this line, each would start the program again.
if __name__ == "__main__":
    asyncio.run(main())

# Output:
# primes: 1229 - in another process: True
# killed: True
