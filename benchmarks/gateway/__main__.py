"""`python -m benchmarks.gateway [--quick] [--only TEXT] [--rounds N] [--write docs/benchmarks.md]`.

Measures the gateway over the asynq-server protocol, one request at a time per connection, beside a bare echo on the
same WebSocket server. Cases run in turns; results are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import msgspec

from benchmarks.gateway.cases import cases
from benchmarks.harness import machine, report, run_cases
from benchmarks.harness.case import FULL, QUICK
from benchmarks.redis import server

#: The section that `--write` replaces.
SECTION = "gateway results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description="Measure the gateway.")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and one round")
    parser.add_argument("--rounds", type=int, metavar="N", help="number of rounds")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains TEXT")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the results into this document")
    options = parser.parse_args()
    size = (
        QUICK if options.quick else msgspec.structs.replace(FULL, rounds=5, one_by_one=5_000, callers=50_000)
    )
    if options.rounds:
        size = msgspec.structs.replace(size, rounds=options.rounds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # to stop the servers that were started
    chosen = [case for case in cases() if options.only in case.name]
    results = asyncio.run(run_cases.run("gateway", chosen, size))
    text = report.markdown({**machine.facts(), **server.facts()}, {"asynq-server protocol": results})
    print(text)
    if options.write:
        report.write_into(options.write, text, SECTION)


if __name__ == "__main__":
    main()
