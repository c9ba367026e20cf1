"""Delayed tasks: run after a delay or at a given time, never early."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from asynqio import App

app = App("memory://", retention=60)


@app.task("remind")
async def remind(due: float) -> bool:
    return time.time() >= due


async def main() -> None:
    async with app, app.running():
        later = remind.with_options(process_in=0.3)
        first = await later.enqueue(time.time() + 0.3)
        print("state:", first.state)

        moment = datetime.now(UTC) + timedelta(seconds=0.4)
        second = await remind.with_options(process_at=moment).enqueue(moment.timestamp())
        print("due at the given time:", abs(second.info.next_process_at - moment.timestamp()) < 0.001)

        print("not early:", await first.result(timeout=5), await second.result(timeout=5))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# state: scheduled
# due at the given time: True
# not early: True True
