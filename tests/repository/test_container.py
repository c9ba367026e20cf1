"""The image and the compose file, by hadolint, by schema, and with the processes they start, outside of containers.

Docker cannot run here, so no image is built, and Grafana does not start; the job `image` of the workflow `check` does
both. What is seen here: each command of the compose file starts and becomes healthy, and Prometheus accepts its
configuration."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asynqio import sync
from tests.repository.tools import BIN, ROOT, accepted, fits, read, run, tool

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = read("compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]
#: The services that run our image.
OURS = [name for name, service in SERVICES.items() if service.get("build")]
HEALTHCHECK = ROOT / "deploy" / "docker" / "healthcheck.py"


# --- the image ------------------------------------------------------------------------------------


def test_hadolint_finds_nothing() -> None:
    accepted(tool("hadolint"), ROOT / "Dockerfile")


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out of the build: the last line that matches decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.lstrip("!")
        if pattern and not line.startswith("#") and covers(pattern, path):
            out = not line.startswith("!")
    return out


def covers(pattern: str, path: str) -> bool:
    """Whether a pattern matches a path or a folder above it. `**/` is any folder, or none."""
    parts = path.split("/")
    return any(
        fnmatch.fnmatch("/".join(parts[:end]), pattern)
        if "**" not in pattern
        else fnmatch.fnmatch(parts[end - 1], pattern.removeprefix("**/"))
        for end in range(1, len(parts) + 1)
    )


def copied() -> list[str]:
    """The paths that the Dockerfile copies from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [path.removeprefix("./") for line in lines for path in line.split()[:-1]]


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    assert len(copied()) > 5
    assert [path for path in copied() if not (ROOT / path).exists() or ignored(path)] == []


def test_nothing_else_is_sent_to_the_build() -> None:
    for path in (
        ".git",
        ".venv/bin/python",
        "tests/conftest.py",
        "src/asynqio/__pycache__/app.pyc",
        "tasks.db",
    ):
        assert ignored(path), path


def test_the_image_runs_our_command_without_root() -> None:
    assert 'ENTRYPOINT ["asynqio"]' in DOCKERFILE
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001"]
    assert "HEALTHCHECK" in DOCKERFILE
    # Two stages, of which the first one leaves nothing but what it installs
    assert DOCKERFILE.count("\nFROM ") == 2


# --- the compose file -----------------------------------------------------------------------------


def test_the_compose_file_fits_its_schema() -> None:
    fits("compose-spec", ROOT / "compose.yaml")


def mounted() -> list[str]:
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    return [volume.partition(":")[0] for volume in volumes]


def test_every_mounted_path_and_volume_exists() -> None:
    paths = [source for source in mounted() if source.startswith("./")]
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert {source for source in mounted() if not source.startswith("./")} == COMPOSE["volumes"].keys()


def test_every_service_restarts_and_has_a_health_check() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] == "unless-stopped", name
        assert name in OURS or service["healthcheck"]["test"], name


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_images_have_versions() -> None:
    images = [service["image"] for name, service in SERVICES.items() if name not in OURS]
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


def test_prometheus_accepts_its_configuration_and_scrapes_what_is_started() -> None:
    accepted(tool("promtool"), "check", "config", ROOT / "deploy/prometheus/prometheus.yml")
    jobs = {job["job_name"]: job for job in read("deploy/prometheus/prometheus.yml")["scrape_configs"]}
    assert jobs["asynqio-queues"]["static_configs"] == [{"targets": ["metrics:9876"]}]
    [workers] = jobs["asynqio-workers"]["dns_sd_configs"]
    assert workers["names"] == ["worker"]
    assert f"--metrics-port={workers['port']}" in SERVICES["worker"]["command"]


def test_grafana_finds_its_data_source_and_its_dashboard() -> None:
    [source] = read("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    [provider] = read("deploy/grafana/provisioning/dashboards/asynqio.yml")["providers"]
    places = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in places
    assert Path(home).parent == Path(provider["options"]["path"])
    # Its panels take the data source of a variable, so the provisioned one is chosen
    variables = json.loads((ROOT / "deploy/grafana/asynqio.json").read_text())["templating"]["list"]
    assert [(one["name"], one["query"]) for one in variables if one["type"] == "datasource"] == [
        ("datasource", source["type"])
    ]


# --- what the image and the compose file start ----------------------------------------------------


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def healthcheck(broker: str, port: int) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, HEALTHCHECK, str(port), ASYNQIO_BROKER=broker)


@contextlib.contextmanager
def started(service: str, folder: Path, *more: str) -> Iterator[None]:
    """The command of a service of ours, from the moment it is ready until TERM ends it well."""
    app = ROOT / "deploy" / "compose"
    command = [*SERVICES[service]["command"], *more]
    with subprocess.Popen(
        [BIN / "asynqio", *command],
        cwd=app if any("shop:app" in part for part in command) else folder,
        env={**os.environ, "ASYNQIO_BROKER": f"sqlite:///{folder}/tasks.db"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        log = [process.stderr.readline()]  # it says that it is ready
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            log.append(process.communicate(timeout=30)[1])
        assert process.returncode == 0, "".join(log)


@pytest.mark.parametrize(("service", "more"), [("worker", ["--metrics-port=0"]), ("scheduler", [])])
def test_a_process_is_healthy_while_it_runs_and_only_then(
    service: str, more: list[str], tmp_path: Path
) -> None:
    broker = f"sqlite:///{tmp_path}/tasks.db"
    port = free_port()
    with started(service, tmp_path, *more):
        assert healthcheck(broker, port).returncode == 0
    done = healthcheck(broker, port)
    assert done.returncode == 1
    assert f"no heartbeat of a worker or scheduler on {socket.gethostname()}" in done.stdout


def test_worker_and_scheduler_serve_what_the_example_declares(tmp_path: Path) -> None:
    with (
        started("worker", tmp_path, "--metrics-port=0"),
        started("scheduler", tmp_path),
        sync.Inspector(f"sqlite:///{tmp_path}/tasks.db") as inspector,
    ):
        assert [server.queues for server in inspector.servers()] == [{"default": 3, "images": 1}]
        assert [schedule.id for schedule in inspector.schedules()] == ["orders"]


def test_a_metrics_exporter_is_healthy_even_without_its_broker(tmp_path: Path) -> None:
    port = free_port()
    with started("metrics", tmp_path, "--host=127.0.0.1", f"--port={port}"):
        assert healthcheck("redis://127.0.0.1:1/0?patience=0.1", port).returncode == 0


@pytest.mark.parametrize(
    ("broker", "said"),
    [
        ("redis://127.0.0.1:1/0?patience=0.1", "127.0.0.1:1"),
        ("", "ASYNQIO_BROKER"),
        ("nonsense://x", "nonsense"),
    ],
)
def test_an_unhealthy_container_says_why(broker: str, said: str) -> None:
    done = healthcheck(broker, free_port())
    assert done.returncode == 1
    assert said in done.stdout
    assert "Traceback" not in done.stderr
