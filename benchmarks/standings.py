"""What the Redis broker must reach beside its peers, and one wide table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from benchmarks import rows
from benchmarks.case import OURS, RAW, Size
from benchmarks.drain import FEW_BEHIND
from benchmarks.peers import asynq_go
from benchmarks.report import lay_out, number, ratio
from benchmarks.rounds import Results

GO = asynq_go.SYSTEM
DRAINS = tuple(rows.drain(slots) for slots in rows.SLOTS)
#: What some peers can do only: a row of the table, counted when their best is looked for.
ONE_SLOT = rows.drain(1)
BEST = "drain, best of these, tasks/s"


class Target(msgspec.Struct, frozen=True):
    """`ours` against `theirs`, or against a limit; where `theirs` is None that peer was not measured."""

    text: str
    ours: float | None
    theirs: float | None
    wanted: float
    #: The ratio must be at most, not at least, what is wanted.
    less: bool = False

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def reached(self) -> bool | None:
        found = self.ratio
        if found is None:
            return None
        return found <= self.wanted if self.less else found >= self.wanted


def with_best(results: Results) -> Results:
    """With a row for the best concurrency of each system, after the drains."""
    last = max((at for at, row in enumerate(results) if row in (*DRAINS, ONE_SLOT)), default=-1)
    found: Results = {}
    for at, (row, systems) in enumerate(results.items()):
        found[row] = systems
        if at == last:
            found[BEST] = _best(results)
    return found


def _best(results: Results) -> dict[str, float]:
    best: dict[str, float] = {}
    for row in (*DRAINS, ONE_SLOT):
        for system, value in results.get(row, {}).items():
            best[system] = max(value, best.get(system, 0.0))
    return best


def targets(results: Results, size: Size) -> list[Target]:
    def of(row: str, system: str = OURS) -> float | None:
        return results.get(row, {}).get(system)

    def python(row: str) -> float | None:
        others = [value for system, value in results.get(row, {}).items() if system not in (OURS, GO, RAW)]
        return max(others, default=None)

    late = [of(f"{rows.pick_up(language)}, p99, ms") for language in ("Python", "Go")]
    return [
        Target("drain, at least 5 times Go", of(BEST), of(BEST, GO), 5),
        Target("drain, at least 20 times the best Python peer", of(BEST), python(BEST), 20),
        Target("drain, at least half of the bare loop", of(BEST), of(BEST, RAW), 0.5),
        Target(
            f"{rows.CALLERS} callers, at least 1.5 times Go",
            of(rows.ENQUEUE_CALLERS),
            of(rows.ENQUEUE_CALLERS, GO),
            1.5,
        ),
        Target("enqueue_many, at least 1.5 times Go", of(rows.ENQUEUE_MANY), of(rows.ENQUEUE_MANY, GO), 1.5),
        Target(
            "two processes, not slower than one", of(rows.TWO_PROCESSES), of(rows.drain(rows.COMMON_SLOTS)), 1
        ),
        Target("pick-up from Python, p99 under 3 ms", late[0], 3, 1, less=True),
        Target("pick-up from Go, p99 under 3 ms", late[1], 3, 1, less=True),
        Target("idle, under 1 command/s besides heartbeats", of(rows.IDLE_OTHER_COMMANDS), 1, 1, less=True),
        Target("drain 2 ms away, at least 20,000 tasks/s", of(rows.FAR), 20_000, 1),
        Target(
            f"drain as fast with {size.behind:,} behind as with {FEW_BEHIND:,}, within 15 %",
            of(rows.behind(size.behind)),
            of(rows.behind(FEW_BEHIND)),
            0.85,
        ),
        Target("memory per task, at most 1.05 times Go", of(rows.BYTES), of(rows.BYTES, GO), 1.05, less=True),
    ]


def target_table(found: Iterable[Target]) -> str:
    lines = [["target", OURS, "against", "ratio", "wanted", ""]]
    for target in found:
        mark = {True: "✓", False: "✗", None: "not measured"}[target.reached]
        wanted = f"{'≤' if target.less else '≥'} {target.wanted:g}"
        lines.append(
            [
                target.text,
                number(target.ours),
                number(target.theirs),
                ratio(target.ours, target.theirs),
                wanted,
                mark,
            ]
        )
    return lay_out(lines)


def wide_table(results: Results) -> str:
    """All systems, ours beside Go, beside the wall, and beside the best of the other Python ones."""
    others = _in_order(results)
    lines = [["", OURS, GO, f"× {GO}", RAW, f"× {RAW}", *others, "× best of these"]]
    for row, systems in results.items():
        ours = systems.get(OURS)
        choose: Callable[[Iterator[float]], float] = max if row.endswith("tasks/s") else min
        known = [systems[other] for other in others if other in systems]
        best = choose(iter(known)) if known else None
        lines.append(
            [
                row,
                number(ours),
                *(number(systems.get(GO)), ratio(ours, systems.get(GO))),
                *(number(systems.get(RAW)), ratio(ours, systems.get(RAW))),
                *[number(systems.get(other)) for other in others],
                ratio(ours, best),
            ]
        )
    return lay_out(lines)


def _in_order(results: Mapping[str, Mapping[str, float]]) -> Sequence[str]:
    seen: dict[str, None] = {}
    for systems in results.values():
        seen.update(dict.fromkeys(systems))
    return [system for system in seen if system not in (OURS, GO, RAW)]
