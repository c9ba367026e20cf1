"""Performance targets of the Redis broker, and a table that compares all systems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from benchmarks.cases.drain import FEW_BEHIND
from benchmarks.harness import row_names
from benchmarks.harness.case import OURS, RAW, Size
from benchmarks.harness.report import lay_out, number, ratio
from benchmarks.harness.run_cases import Results
from benchmarks.peers import asynq_go

GO = asynq_go.SYSTEM
DRAINS = tuple(row_names.drain(slots) for slots in row_names.SLOTS)
#: The only drain row of some peers; considered for their best drain.
ONE_SLOT = row_names.drain(1)
BEST = "drain, best of these, tasks/s"


class Target(msgspec.Struct, frozen=True):
    """Compares `ours` with `theirs`, a peer or a limit. None means not measured."""

    text: str
    ours: float | None
    theirs: float | None
    required: float
    #: Whether `required` is the largest, not the smallest, allowed ratio.
    less: bool = False

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def met(self) -> bool | None:
        found = self.ratio
        if found is None:
            return None
        return found <= self.required if self.less else found >= self.required


def with_best(results: Results) -> Results:
    """Add a row with the best drain of each system after the drain rows."""
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

    late = [of(f"{row_names.pick_up(language)}, p99, ms") for language in ("Python", "Go")]
    return [
        Target("drain, at least 5 times Go", of(BEST), of(BEST, GO), 5),
        Target("drain, at least 20 times the best Python peer", of(BEST), python(BEST), 20),
        Target("drain, at least half of the bare loop", of(BEST), of(BEST, RAW), 0.5),
        Target(
            f"{row_names.CALLERS} callers, at least 1.5 times Go",
            of(row_names.ENQUEUE_CALLERS),
            of(row_names.ENQUEUE_CALLERS, GO),
            1.5,
        ),
        Target(
            "one caller, at least 0.95 of the bare loop",
            of(row_names.ENQUEUE),
            of(row_names.ENQUEUE, RAW),
            0.95,
        ),
        Target(
            "sync client, at least 1.2 times the best Python peer",
            of(row_names.ENQUEUE_SYNC),
            python(row_names.ENQUEUE_SYNC),
            1.2,
        ),
        Target(
            "sync client, at least 0.6 of the bare loop",
            of(row_names.ENQUEUE_SYNC),
            of(row_names.ENQUEUE_SYNC, RAW),
            0.6,
        ),
        Target(
            f"sync client, {row_names.THREADS} threads, at least 25,000 tasks/s",
            of(row_names.ENQUEUE_THREADS),
            25_000,
            1,
        ),
        Target(
            "enqueue_many, at least 1.5 times Go",
            of(row_names.ENQUEUE_MANY),
            of(row_names.ENQUEUE_MANY, GO),
            1.5,
        ),
        Target(
            "two processes, not slower than one",
            of(row_names.TWO_PROCESSES),
            of(row_names.drain(row_names.COMMON_SLOTS)),
            1,
        ),
        Target("pick-up from Python, p99 under 3 ms", late[0], 3, 1, less=True),
        Target("pick-up from Go, p99 under 3 ms", late[1], 3, 1, less=True),
        Target(
            "idle, under 1 command/s besides heartbeats", of(row_names.IDLE_OTHER_COMMANDS), 1, 1, less=True
        ),
        Target("drain 2 ms away, at least 20,000 tasks/s", of(row_names.FAR), 20_000, 1),
        Target(
            f"drain as fast with {size.behind:,} behind as with {FEW_BEHIND:,}, within 15 %",
            of(row_names.behind(size.behind)),
            of(row_names.behind(FEW_BEHIND)),
            0.85,
        ),
        Target(
            "memory per task, at most 1.05 times Go",
            of(row_names.BYTES),
            of(row_names.BYTES, GO),
            1.05,
            less=True,
        ),
    ]


def target_table(found: Iterable[Target]) -> str:
    lines = [["target", OURS, "compared with", "ratio", "required", ""]]
    for target in found:
        mark = {True: "✓", False: "✗", None: "not measured"}[target.met]
        required = f"{'≤' if target.less else '≥'} {target.required:g}"
        lines.append(
            [
                target.text,
                number(target.ours),
                number(target.theirs),
                ratio(target.ours, target.theirs),
                required,
                mark,
            ]
        )
    return lay_out(lines)


def wide_table(results: Results) -> str:
    """All systems, with the ratios of asynqio to Go, to the bare loop, and to the best other Python system."""
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
