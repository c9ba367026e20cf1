"""`asynqio metrics`, and the endpoints of `asynqio worker`: real processes, scraped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from asynqio import Task
from asynqio.sync import Client
from tests.brokers.redis.support.ports import free_port
from tests.brokers.redis.support.servers import RedisServer
from tests.cli.support.command import asynqio, command
from tests.metrics.scraping import scrape, scrape_open_metrics

ADDRESS = r"serving metrics of (.+) at (http://\S+)"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_exporter_serves_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    with Client(url) as client:
        client.enqueue(Task("a"))
    with command("metrics", "--broker", url, "--port", "0", cwd=tmp_path) as exporter:
        address = exporter.line(ADDRESS)[2]
        seen = scrape(address)
        assert seen.get("asynq_queue_size", queue="default") == 1
        assert seen.get("asynqio_scrape_success") == 1
        assert seen.get("process_cpu_seconds_total") is not None
        assert scrape_open_metrics(address).get("asynq_queue_size", queue="default") == 1
        exporter.signal(number)
        assert exporter.end() == 0


def test_the_broker_comes_from_the_environment_and_its_password_is_hidden(tmp_path: Path) -> None:
    with RedisServer(tmp_path, users={"app": "~* &* +@all"}) as redis:
        with command("metrics", "--port", "0", cwd=tmp_path, env={"ASYNQIO_BROKER": redis.url}) as exporter:
            assert scrape(exporter.line(ADDRESS)[2]).get("asynqio_scrape_success") == 1
            exporter.signal(signal.SIGTERM)
            assert exporter.end() == 0
        assert redis.url not in exporter.text
        assert "p%40ss" not in exporter.text
        assert "p@ss" not in exporter.text


def test_it_starts_while_the_broker_is_unreachable(tmp_path: Path) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    with command("metrics", "--broker", url, "--port", "0", cwd=tmp_path) as exporter:
        assert scrape(exporter.line(ADDRESS)[2]).get("asynqio_scrape_success") == 0
        exporter.line("cannot read metrics of the broker")
        exporter.signal(signal.SIGTERM)
        assert exporter.end() == 0


def test_no_memory_skips_the_memory_metrics(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.db"
    with Client(url) as client:
        client.enqueue(Task("a"))
    with command("metrics", "--broker", url, "--port", "0", "--no-memory", cwd=tmp_path) as exporter:
        assert scrape(exporter.line(ADDRESS)[2]).of("asynq_queue_memory_usage_approx_bytes") == {}
        exporter.signal(signal.SIGTERM)
        assert exporter.end() == 0


def test_errors_are_one_line(tmp_path: Path) -> None:
    done = asynqio("metrics", "--broker", "nix://", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("asynqio: broker URL 'nix:': the scheme must be one of ")
    port = free_port()
    with command("metrics", "--broker", "memory://", "--port", str(port), cwd=tmp_path) as exporter:
        exporter.line(ADDRESS)
        done = asynqio("metrics", "--broker", "memory://", "--port", str(port), cwd=tmp_path)
        assert done.returncode == 2
        assert (
            f"asynqio: cannot serve metrics at 127.0.0.1, port {port}: Address already in use" in done.stderr
        )


def test_each_process_of_a_worker_has_its_own_endpoint(app_dir: Path) -> None:
    port = free_port()
    arguments = ("worker", "talker:app", "-p", "2", "-c", "3", "--metrics-port", str(port))
    with command(*arguments, cwd=app_dir) as supervisor:
        supervisor.lines("server started", 2)
        servers: set[tuple[str, ...]] = set()
        for at in (port, port + 1):
            seen = scrape(f"http://127.0.0.1:{at}/metrics")
            assert seen.get("asynqio_slots") == 3
            servers |= seen.of("asynqio_server_info").keys()
        assert len(servers) == 2
        supervisor.signal(signal.SIGTERM)
        assert supervisor.end() == 0


def test_a_restarted_process_keeps_its_port(app_dir: Path) -> None:
    port = free_port()
    with command("worker", "talker:app", "-p", "2", "--metrics-port", str(port), cwd=app_dir) as supervisor:
        second = next(
            int(found[2]) for found in supervisor.lines(r"worker (\d) is process (\d+)", 2) if found[1] == "2"
        )
        supervisor.lines("server started", 2)
        os.kill(second, signal.SIGKILL)
        supervisor.line("server started")
        assert scrape(f"http://127.0.0.1:{port + 1}/metrics").get("asynqio_slots")
        supervisor.signal(signal.SIGTERM)
        assert supervisor.end() == 0
