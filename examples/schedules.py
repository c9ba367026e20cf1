"""Schedules: a task by the clock, however many schedulers there are."""

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
        async with app.scheduler():  # one more of them puts in nothing twice
            await ran.wait()
        for card in await app.inspector.schedules():
            print(card.id, "|", card.spec, "|", card.zone, "|", card.queue)
        await app.inspector.pause_schedule("tick")
        print("paused:", [card.id for card in await app.inspector.schedules() if card.paused])


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# hello from tick
# tick | @every 1s | UTC | default
# report | 0 9 * * mon-fri | Europe/Berlin | low
# paused: ['tick']
