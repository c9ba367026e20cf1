"""Options of a server."""

from asynqio import App, ExponentialRetry, Server, ServerConfig

app = App("memory://")

Server("memory://", concurency=10)  # E: did you mean "concurrency"?
Server("memory://", queues=["critical", "default"])  # E: [arg-type]
Server("memory://", lease="30s")  # E: [arg-type]
Server("memory://", unknown_tasks="burn")  # E: [arg-type]
Server("memory://", retry=5)  # E: [arg-type]
ServerConfig(concurrency="ten")  # E: [arg-type]
ServerConfig(10)  # E: Too many positional arguments
app.server(shutdown_timout=3)  # E: did you mean "shutdown_timeout"?
ExponentialRetry(frist=1)  # E: [call-arg]


async def use() -> None:
    await Server("memory://").run(app)  # E: [arg-type]
