"""Go style: tasks as data, a client, a mux with prefix routing, and a server."""

import asyncio
from dataclasses import dataclass

from asynqio import Client, Mux, Server, Task, current


@dataclass
class Mail:
    to: str
    subject: str = "Welcome"


mux = Mux()


@mux.handle("email:")
async def email(task: Task) -> None:
    mail = task.load(Mail)  # validated and converted to a dataclass
    await current().write_result(f"{task.type} to {mail.to}: {mail.subject}")


@mux.handle("email:bulk:")
def bulk(task: Task) -> str:  # a plain function: it runs in a thread
    return f"{len(task.load(list[Mail]))} mails in one task"


async def main() -> None:
    url = "memory://go-style"  # a named memory broker is shared within the process
    server = Server(url, concurrency=10, queues={"critical": 6, "default": 3})
    async with Client(url, retention=60) as client, server.running(mux):
        first = await client.enqueue(Task.json("email:welcome", Mail("ann@example.org")), queue="critical")
        print(await client.result(first.id, str, queue="critical", timeout=5))
        second = await client.enqueue(Task.json("email:bulk:news", [{"to": "a@example.org"}] * 3))
        print(await client.result(second.id, str, timeout=5))


if __name__ == "__main__":
    asyncio.run(main())

# Output:
# email:welcome to ann@example.org: Welcome
# 3 mails in one task
