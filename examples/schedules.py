"""Schedules: one task per tick, with any number of schedulers."""

import asyncio

from asynqio import App, current

app = App("memory://")
ran = asyncio.Event()


@app.cron("@every 1s", name="tick", args=("hello",))
@app.cron("0 9 * * mon-fri", zone="Europe/Berlin", name="report", args=("good morning",), queue="low")
@app.task("say")
async def say(words: str) -> None:
    if not ran.is_set():
        print(words, "from", current().headers["asynqio-schedule"])
        ran.set()


async def main() -> None:
    async with app, app.running():
        async with app.scheduler():  # a second scheduler enqueues no duplicates
            await ran.wait()
        for schedule in await app.inspector.schedules():
            print(schedule.id, "|", schedule.spec, "|", schedule.zone, "|", schedule.queue)
        await app.inspector.pause_schedule("tick")
        print("paused:", [one.id for one in await app.inspector.schedules() if one.paused])


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# hello from tick
# tick | @every 1s | UTC | default
# report | 0 9 * * mon-fri | Europe/Berlin | low
# paused: ['tick']
