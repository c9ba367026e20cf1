"""The demo on a terminal: what waits, what runs, how fast, and what happened, four times a second."""

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
from asynqio.cli.demo.ledger import Figures, Ledger, percentile
from asynqio.cli.demo.plain import Plain, queue_stats

#: Seconds between two pictures.
INTERVAL = 0.25
#: The rate is that of the last so many pictures.
WINDOW = 16
#: Columns of the curve of the rate, when there is room.
CURVE = 26
BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 100
#: Rows that are not events.
FIXED_ROWS = 23

SIGNS = {
    "result": ("✓", "green"),
    "recovered": ("✓", "green"),
    "failed": ("↻", "yellow"),
    "postponed": ("◷", "yellow"),
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


class Screen(Plain):
    """Draws until it is canceled; the last picture stays."""

    def __init__(self, broker: str, seconds: float | None, console: Console | None = None) -> None:
        self._console = console or Console()
        self._broker = broker
        self._seconds = seconds
        self._done: deque[int] = deque([0], maxlen=CURVE + WINDOW)
        self._width = WIDTH

    async def run(self, ledger: Ledger, inspector: Inspector) -> None:
        with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                live.update(self.picture(ledger, await queue_stats(inspector)), refresh=True)
                await asyncio.sleep(INTERVAL)

    def picture(self, ledger: Ledger, queues: list[QueueStats]) -> RenderableType:
        total = ledger.total()
        self._done.append(total.done)
        width = self._width = min(self._console.width, WIDTH)
        kinds = _kinds(ledger, full=width == WIDTH)
        parts = [self._head(ledger, total), _framed(_queues(queues)), _framed(kinds)]
        rows = min(12, self._console.height - FIXED_ROWS)
        if rows >= 3:
            parts.append(_events(ledger, rows - 2))
        frame = Table.grid()
        frame.add_column(width=width)
        for part in parts:
            frame.add_row(part)
        return Group(frame)

    def _head(self, ledger: Ledger, total: Figures) -> RenderableType:
        figures = Text.assemble(
            (f"{self._rate():6.1f}", "bold green"),
            " tasks/s  ",
            (self._curve(CURVE - (WIDTH - self._width)), "green"),
            "  latency to start p50 ",
            (_ms(percentile(total.starts, 0.5)), "bold"),
            " p99 ",
            (_ms(percentile(total.starts, 0.99)), "bold"),
            " ms",
            no_wrap=True,
        )
        left = "" if self._seconds is None else f" of {self._seconds:g}"
        return Panel(
            figures,
            box=box.ROUNDED,
            border_style="cyan",
            title="[bold]asynqio demo",
            title_align="left",
            subtitle=f"[dim]{self._broker} · {ledger.seconds:.0f}{left} s · Ctrl-C ends it",
            subtitle_align="right",
        )

    def _rate(self) -> float:
        """Tasks per second, lately."""
        last = list(self._done)[-WINDOW:]
        return (last[-1] - last[0]) / max((len(last) - 1) * INTERVAL, INTERVAL)

    def _curve(self, columns: int) -> str:
        done = list(self._done)
        # Over a second each, or the chance of single arrivals is all one sees.
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


def _kinds(ledger: Ledger, *, full: bool) -> RenderableType:
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
        figures = ledger.kinds.get(type, Figures())
        table.add_row(
            Text(type, "bold"),
            *([Text(where, "dim")] if full else []),
            _number(figures.enqueued, "default"),
            _number(figures.done + figures.merged, "green"),
            _number(figures.retries, "yellow"),
            _number(figures.failures, "red"),
            _number(figures.refused, "blue"),
            *(_ms(percentile(figures.starts, share)) if figures.starts else "" for share in (0.5, 0.99)),
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
    return _framed(Group(*lines), "lately")


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
