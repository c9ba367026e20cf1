"""`asynqio config check`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from asynqio import ServerConfig
from tests.cli.support.command import asynqio


def test_every_value_has_an_origin(tmp_path: Path) -> None:
    (tmp_path / "asynqio.toml").write_text("[server]\nconcurrency = 7\nqueues = {critical = 6, low = 1}\n")
    environment = {"ASYNQIO_LEASE": "12", "ASYNQIO_CONCURRENCY": "9", "ASYNQIO_BROKER": "memory://"}
    done = asynqio("config", "check", "--json", cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["problems"] == []
    settings = {item["name"]: (item["value"], item["origin"]) for item in answer["settings"]}
    assert settings.keys() == {"broker", *(field.name for field in dataclasses.fields(ServerConfig))}
    assert settings["broker"] == ("memory://", "ASYNQIO_BROKER")
    assert settings["lease"] == (12.0, "ASYNQIO_LEASE")
    assert settings["concurrency"] == (9, "ASYNQIO_CONCURRENCY")
    assert settings["queues"] == ({"critical": 6, "low": 1}, "asynqio.toml")
    assert settings["unknown_tasks"] == ("defer", "default")


def test_the_table(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[server]\nstrict_priority = true\n")
    done = asynqio("config", "check", "--config", "other.toml", cwd=tmp_path)
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["strict_priority", "true", "other.toml"] in rows
    assert ["queues", "default=1", "default"] in rows


def test_all_problems_at_once(tmp_path: Path) -> None:
    (tmp_path / "asynqio.toml").write_text("[server]\nconcurency = 7\nlease = 0\n[sever]\n")
    done = asynqio("config", "check", cwd=tmp_path, env={"ASYNQIO_QUEUES": "a=b"})
    assert (done.returncode, done.stdout) == (2, "")
    problems = done.stderr.splitlines()
    assert len(problems) == 4
    assert "did you mean 'concurrency'" in done.stderr
    assert "did you mean 'server'" in done.stderr
    assert "lease" in done.stderr
    assert "ASYNQIO_QUEUES" in done.stderr or "environment: queues" in done.stderr
    as_json = asynqio("config", "check", "--json", cwd=tmp_path, env={"ASYNQIO_QUEUES": "a=b"})
    assert as_json.returncode == 2
    assert len(json.loads(as_json.stdout)["problems"]) == 4


def test_a_missing_file(tmp_path: Path) -> None:
    done = asynqio("config", "check", "--config", "none.toml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "asynqio: there is no configuration file 'none.toml'\n"


def test_server_must_be_a_table(tmp_path: Path) -> None:
    (tmp_path / "asynqio.toml").write_text("server = 3\n")
    done = asynqio("config", "check", cwd=tmp_path)
    assert done.returncode == 2
    assert "must be a table" in done.stderr


def test_passwords_are_not_shown(tmp_path: Path) -> None:
    url = "redis://worker:secret@db.example.com:6379/0"
    for arguments in (["config", "check"], ["config", "check", "--json"]):
        done = asynqio(*arguments, cwd=tmp_path, env={"ASYNQIO_BROKER": url})
        assert "secret" not in done.stdout + done.stderr
        assert "redis://worker:***@db.example.com:6379/0" in done.stdout
