"""A scheduler process: `python -m tests.acceptance.scheduler '{"entries": 200}'`."""

from __future__ import annotations

import asyncio
import logging
import sys

import msgspec

from asynqio import ScheduleEntry, Scheduler, Task


async def main(entries: int, queues: int) -> None:
    await Scheduler(
        entries=[
            # All missed ticks fire late: on a busy machine, a scheduler may be killed before it is
            # ready, for longer than the grace of a tick.
            ScheduleEntry("@every 1s", Task(f"tick:{n}"), name=f"s{n}", queue=f"q{n % queues}", missed=1000)
            for n in range(entries)
        ]
    ).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    asyncio.run(main(**msgspec.json.decode(sys.argv[1])))
