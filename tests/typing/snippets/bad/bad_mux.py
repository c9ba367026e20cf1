"""Handlers and middleware take what the mux gives them."""

from asynqio import App, Mux, Next, Task

app = App("memory://")
mux = Mux()


@mux.handle("a")  # E: [type-var]
async def no_task() -> None: ...


@mux.handle("b")  # E: [type-var]
async def two(task: Task, more: int) -> None: ...


@mux.handle("c")  # E: [type-var]
def number(task: int) -> None: ...


@mux.handle("d", run_in="fiber")  # E: [call-overload]
def lane(task: Task) -> None: ...


@mux.use  # E: [type-var]
def not_async(task: Task, call_next: Next) -> None: ...


@app.middleware  # E: [type-var]
async def no_next(task: Task) -> object: ...


@app.on_error  # E: [type-var]
def one_argument(task: Task) -> None: ...


@app.aggregate  # E: [type-var]
def makes_text(group: str, members: list[Task]) -> str:
    return ""


@mux.handle("e")
async def load(task: Task) -> None:
    text: str = task.load(int)  # E: [assignment]
