"""Hello: one function, one worker, one result."""

import asyncio

from asynqio import App

app = App("memory://")


@app.task("greet", retention=60)
async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}!"


async def main() -> None:
    async with app, app.running():
        handle = await greet.enqueue("Ann")
        print("enqueued:", handle.info.type)
        print("result:", await handle.result(timeout=5))
    print("called directly:", await greet("Bob", greeting="Hi"))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# enqueued: greet
# result: Hello, Ann!
# called directly: Hi, Bob!
