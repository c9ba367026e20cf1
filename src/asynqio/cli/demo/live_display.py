"""The display on a terminal: queues, task types, throughput and events, four times a second."""

from __future__ import annotations

import asyncio
from collections import deque

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from asynqio import Inspector, QueueStats
from asynqio.cli.demo import tasks
from asynqio.cli.demo.display import queue_stats
from asynqio.cli.demo.ledger import Counters, Ledger, percentile

#: Seconds between two frames.
INTERVAL = 0.25
#: Frames over which the rate is computed.
WINDOW = 16
#: Columns of the curve of the rate, if the terminal is wide enough.
CURVE = 26
BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 100
#: Rows that are not events.
FIXED_ROWS = 23

SIGNS = {
    "result": ("✓", "green"),
    "recovered": ("✓", "green"),
    "failed": ("↻", "yellow"),
    "deferred": ("◷", "yellow"),
    "archived": ("✗", "red"),
    "refused": ("=", "blue"),
    "merged": ("≡", "magenta"),
    "burst": ("»", "cyan"),
}
WHERE = {
    "email:send": "loop",
    "reminder:send": "loop · delayed",
    "webhook:call": "loop · fails",
    "report:build": "thread · result",
    "contact:sync": "loop · unique",
    "image:resize": "process",
    "digest:send": "loop",
    "news:add": "group → digest",
}


class LiveDisplay:
    """Draws until it is cancelled; the last frame stays."""

    def __init__(self, broker: str, seconds: float | None, console: Console | None = None) -> None:
        self._console = console or Console()
        self._broker = broker
        self._seconds = seconds
        self._done: deque[int] = deque([0], maxlen=CURVE + WINDOW)
        self._width = WIDTH

    async def run(self, ledger: Ledger, inspector: Inspector) -> None:
        with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(self.frame(ledger, await queue_stats(inspector)), refresh=True)
                await asyncio.sleep(INTERVAL)

    def frame(self, ledger: Ledger, queues: list[QueueStats]) -> RenderableType:
        total = ledger.total()
        self._done.append(total.done)
        width = self._width = min(self._console.width, WIDTH)
        types = _types(ledger, full=width == WIDTH)
        parts = [self._head(ledger, total), _framed(_queues(queues)), _framed(types)]
        rows = min(12, self._console.height - FIXED_ROWS)
        if rows >= 3:
            parts.append(_events(ledger, rows - 2))
        grid = Table.grid()
        grid.add_column(width=width)
        for part in parts:
            grid.add_row(part)
        return Group(grid)

    def _head(self, ledger: Ledger, total: Counters) -> RenderableType:
        numbers = Text.assemble(
            (f"{self._rate():6.1f}", "bold green"),
            " tasks/s  ",
            (self._curve(CURVE - (WIDTH - self._width)), "green"),
            "  start latency p50 ",
            (_ms(percentile(total.starts, 0.5)), "bold"),
            " p99 ",
            (_ms(percentile(total.starts, 0.99)), "bold"),
            " ms",
            no_wrap=True,
        )
        left = "" if self._seconds is None else f" of {self._seconds:g}"
        return Panel(
            numbers,
            box=box.ROUNDED,
            border_style="cyan",
            title="[bold]asynqio demo",
            title_align="left",
            subtitle=f"[dim]{self._broker} · {ledger.seconds:.0f}{left} s · Ctrl-C to stop",
            subtitle_align="right",
        )

    def _rate(self) -> float:
        """Tasks per second over the last WINDOW frames."""
        last = list(self._done)[-WINDOW:]
        return (last[-1] - last[0]) / max((len(last) - 1) * INTERVAL, INTERVAL)

    def _curve(self, columns: int) -> str:
        done = list(self._done)
        # One second per column: shorter intervals only show the randomness of arrivals.
        steps = [later - earlier for earlier, later in zip(done, done[4:], strict=False)]
        steps = steps[-columns:] if columns > 0 else []
        top = max([*steps, 1])
        return "".join(BARS[round(step / top * (len(BARS) - 1))] for step in steps).rjust(columns)


def _queues(queues: list[QueueStats]) -> RenderableType:
    table = _table(
        "queue", "weight", "pending", "active", "scheduled", "retry", "grouped", "archived", "results"
    )
    for stats in queues:
        table.add_row(
            Text(stats.queue.removeprefix(tasks.PREFIX), "bold"),
            Text(str(tasks.QUEUES[stats.queue]), "dim"),
            _number(stats.pending, "cyan"),
            _number(stats.active, "green"),
            _number(stats.scheduled, "blue"),
            _number(stats.retry, "yellow"),
            _number(stats.aggregating, "magenta"),
            _number(stats.archived, "red"),
            _number(stats.completed, "default"),
        )
    return table


def _types(ledger: Ledger, *, full: bool) -> RenderableType:
    """`full`: with the column that says where tasks run."""
    table = _table(
        "task",
        *(["runs in"] if full else []),
        "in",
        "done",
        "retries",
        "failed",
        "refused",
        "p50 ms",
        "p99 ms",
    )
    if full:
        table.columns[1].justify = "left"
    for type, where in WHERE.items():
        counters = ledger.by_type.get(type, Counters())
        table.add_row(
            Text(type, "bold"),
            *([Text(where, "dim")] if full else []),
            _number(counters.enqueued, "default"),
            _number(counters.done + counters.merged, "green"),
            _number(counters.retries, "yellow"),
            _number(counters.failures, "red"),
            _number(counters.refused, "blue"),
            *(_ms(percentile(counters.starts, share)) if counters.starts else "" for share in (0.5, 0.99)),
        )
    return table


def _events(ledger: Ledger, rows: int) -> RenderableType:
    lines = []
    for event in list(ledger.events)[-rows:]:
        sign, style = SIGNS.get(event.kind, ("!", "bold red"))
        lines.append(
            Text.assemble((f"{event.at:6.1f} s ", "dim"), (f"{sign} ", style), event.text, no_wrap=True)
        )
    lines += [Text("")] * (rows - len(lines))
    return _framed(Group(*lines), "events")


def _table(*titles: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, border_style="dim", header_style="dim", expand=True)
    table.padding = (0, 1, 0, 0)
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    return table


def _framed(content: RenderableType, title: str = "") -> Panel:
    shown = f"[dim]{title}" if title else None
    return Panel(
        content, box=box.ROUNDED, border_style="dim", title=shown, title_align="left", padding=(0, 0, 0, 1)
    )


def _number(value: int, style: str) -> Text:
    return Text(f"{value:,}", style) if value else Text("·", "dim")


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1e3
    return f"{milliseconds:.1f}" if milliseconds < 100 else f"{milliseconds:,.0f}"
