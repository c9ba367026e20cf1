"""Without metrics and traces, their packages are not imported and nothing is measured."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from asynqio import Task
from asynqio.brokers.memory import MemoryBroker
from asynqio.mux import Mux
from asynqio.runtime.attempts import runner as running
from asynqio.server import Server
from asynqio.testing import Flaky

PROGRAM = """
import asyncio, sys
from asynqio import App

app = App("memory://", retention=60)

@app.task("t")
async def t() -> int:
    return 1

async def main():
    async with app, app.running({options}):
        assert await (await t.enqueue()).result(timeout=20) == 1

asyncio.run(main())
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{"prometheus_client", "opentelemetry"}}))
"""


def loaded(options: str, *, path: str = "") -> subprocess.CompletedProcess[str]:
    program = textwrap.dedent(PROGRAM).format(options=options)
    return subprocess.run(
        [sys.executable, "-c", f"{path}\n{program}"], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_server_without_metrics_loads_neither_package() -> None:
    done = loaded("")
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


def test_a_server_with_metrics_loads_only_what_it_needs() -> None:
    from tests.brokers.redis.support.ports import free_port

    done = loaded(f"metrics_port={free_port()}")
    assert (done.returncode, done.stdout) == (0, "prometheus_client\n"), done.stderr


#: Makes a package impossible to import.
WITHOUT = """
import sys
sys.modules[{name!r}] = None
"""


def test_without_the_package_the_error_says_what_to_install() -> None:
    done = loaded("metrics_port=9100", path=WITHOUT.format(name="prometheus_client"))
    assert done.returncode == 1
    assert "pip install 'asynqio[metrics]'" in done.stderr.splitlines()[-1]


async def test_without_listeners_no_event_is_created(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(*_: object) -> None:
        raise AssertionError("an event was created without a listener")

    monkeypatch.setattr(running, "AttemptEnded", made)
    flaky = Flaky(MemoryBroker())
    mux = Mux()

    async def handler(task: Task) -> None: ...

    mux.handle("t", handler)
    server = Server(flaky.broker)
    async with server.running(mux):
        from asynqio import Client

        client = Client(flaky.broker)
        info = await client.enqueue(Task("t"), retention=60)
        await client.wait(info, timeout=20)
    assert server.events.listeners == ()


@pytest.mark.parametrize(
    ("missing", "program", "advice"),
    [
        ("opentelemetry", "from asynqio import App; App('memory://', tracing=True)", "asynqio[otel]"),
        ("prometheus_client", "import asynqio.metrics", "asynqio[metrics]"),
    ],
)
def test_each_missing_package_is_named_with_the_install_command(
    missing: str, program: str, advice: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(name=missing) + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "ConfigError" in done.stderr.splitlines()[-1]
    assert advice in done.stderr.splitlines()[-1]


def test_the_exporter_reports_a_missing_package_in_one_line() -> None:
    program = "sys.argv = ['asynqio', 'metrics', '--broker', 'memory://']; from asynqio.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(name="prometheus_client") + program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "asynqio: metrics need prometheus-client: pip install 'asynqio[metrics]'\n"
