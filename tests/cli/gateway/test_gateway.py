"""`asynqio gateway` as a process: start, settings, signals, and what remains after kill -9."""

from __future__ import annotations

import base64
import json
import signal
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.brokers.redis.support.fixtures import fresh_server
from tests.cli.support.command import Command, asynqio, command

READY = r"the gateway listens on (https?://(\S+)),"
APP = """\
from asynqio import App

app = App()


@app.task
async def greet(name: str) -> str:
    return f"hello {name}"
"""


def request(url: str, body: object = None, timeout: float = 30.0) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=timeout) as answer:
        return json.load(answer)


def address(gateway: Command) -> str:
    return gateway.line(READY)[2]


def test_it_says_where_it_listens_and_what_is_lost_and_stops_on_term(tmp_path: Path) -> None:
    with command("gateway", "--addr", "127.0.0.1:0", cwd=tmp_path) as gateway:
        warning = gateway.line("keeps tasks in this process only")
        assert "--broker sqlite:///asynqio.db" in warning.string
        assert request(f"http://{address(gateway)}/api/queues") == {"queues": []}
        gateway.signal(signal.SIGTERM)
        assert gateway.end() == 0
    assert gateway.survivors() == []


def test_a_worker_and_commands_use_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    with command("gateway", "--addr", "127.0.0.1:0", cwd=tmp_path) as gateway:
        where = address(gateway)
        env = {"ASYNQIO_BROKER": f"ws://{where}"}
        with command("worker", "shop:app", cwd=tmp_path, env=env) as worker:
            worker.line("server started")
            created = request(
                f"http://{where}/api/v1/jobs", {"type": "shop.greet", "payload": {"name": "Ann"}}
            )
            result = request(f"http://{where}/api/v1/jobs/{created['job_id']}/result?wait=30")
            assert result["result"] == "hello Ann"
            listed = asynqio("queue", "ls", "--json", cwd=tmp_path, env=env)
            assert json.loads(listed.stdout)[0]["completed"] == 1
            worker.signal(signal.SIGTERM)
            assert worker.end() == 0


@pytest.mark.parametrize(
    ("arguments", "env", "text"),
    [
        (["--addr", "nix"], {}, "is not host:port"),
        (["--addr", "127.0.0.1:99999"], {}, "is not host:port"),
        (
            ["--addr", "0.0.0.0:0"],
            {},
            "0.0.0.0:0 may be reached from other machines and no authentication is configured",
        ),
        ([], {"ASYNQ_USERNAME": "a"}, "ASYNQ_USERNAME is set, but ASYNQ_PASSWORD is not"),
        ([], {"ASYNQ_PASSWORD": "canary-5481"}, "ASYNQ_PASSWORD is set, but ASYNQ_USERNAME is not"),
        ([], {"ASYNQ_TENANT_CONFIG": "nix.json"}, "nix.json: cannot be read: No such file"),
        (["--tls-cert", "nix.pem"], {}, "--tls-cert and --tls-key belong together"),
        (
            ["--tls-cert", "nix.pem", "--tls-key", "nix.key"],
            {},
            "--tls-cert nix.pem: cannot be read: No such file",
        ),
        (["--broker", "nix://"], {}, "the scheme must be one of"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    tmp_path: Path, arguments: list[str], env: dict[str, str], text: str
) -> None:
    done = asynqio("gateway", "--addr", "127.0.0.1:0", *arguments, cwd=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary-5481" not in done.stderr


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = asynqio("gateway", "--addr", f"127.0.0.1:{taken.getsockname()[1]}", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(": Address already in use")
    assert "Traceback" not in done.stderr


def test_it_serves_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    arguments = ["--addr", "127.0.0.1:0", "--tls-cert", str(cert), "--tls-key", str(key)]
    with command("gateway", *arguments, cwd=tmp_path) as gateway:
        found = gateway.line(READY)
        assert found[1].startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        with urllib.request.urlopen(f"{found[1]}/health", context=context, timeout=30) as answer:
            assert answer.read() == b"OK"
        url = f"wss://{found[2]}?ca={cert}"
        assert asynqio("queue", "ls", "--broker", url, cwd=tmp_path).returncode == 0
        refused = asynqio("queue", "ls", "--broker", f"wss://{found[2]}", cwd=tmp_path)
        assert refused.returncode == 1
        assert "certificate" in refused.stderr.lower()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_kill_9_loses_no_accepted_task(tmp_path: Path, kind: str) -> None:
    broker = fresh_server().url if kind == "redis" else f"sqlite:///{tmp_path}/tasks.db"
    arguments = ["gateway", "--broker", broker, "--addr"]
    accepted: list[str] = []
    with command(*arguments, "127.0.0.1:0", cwd=tmp_path) as gateway:
        where = address(gateway)
        for number in range(200):
            answer = request(f"http://{where}/api/v1/jobs", {"payload": number})
            accepted.append(answer["job_id"])
        gateway.signal(signal.SIGKILL)
        gateway.end()
    with command(*arguments, where, cwd=tmp_path) as gateway:
        gateway.line(READY)
        found = [request(f"http://{where}/api/v1/jobs/{id}")["payload"] for id in accepted]
        assert found == list(range(200))


def test_refused_clients_do_not_fill_the_log(tmp_path: Path) -> None:
    env = {"ASYNQ_USERNAME": "ann", "ASYNQ_PASSWORD": "correct horse battery"}
    with command("gateway", "--addr", "127.0.0.1:0", cwd=tmp_path, env=env) as gateway:
        url = f"ws://{address(gateway)}/ws"
        with pytest.raises(InvalidStatus):
            connect(url)
        credentials = base64.b64encode(b"ann:correct horse battery").decode()
        with connect(url, additional_headers={"Authorization": f"Basic {credentials}"}) as client:
            client.send(b"\xff", text=True)
            with pytest.raises(ConnectionClosed):
                client.recv(timeout=30)
        gateway.signal(signal.SIGTERM)
        assert gateway.end() == 0
    assert [line for line in gateway.seen if "uvicorn" in line or "Traceback" in line] == []


def test_commands_without_a_broker_name_the_default(tmp_path: Path) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 8080)) == 0:
            pytest.skip("something listens on the default port of the gateway")
    done = asynqio("queue", "ls", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the gateway at 127.0.0.1:8080 cannot be reached" in done.stderr
    assert "start a gateway with `asynqio gateway`" in done.stderr
