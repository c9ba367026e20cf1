"""Where values come from, and everything that can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from asynqio import (
    App,
    Client,
    ConfigError,
    Inspector,
    Scheduler,
    Server,
    ServerConfig,
    UnknownTask,
    load_config,
    parse_queues,
    sync,
)
from asynqio.config import broker_url, unknown_variables


def test_argument_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "asynqio.toml"
    file.write_text(
        '[server]\nconcurrency = 1\nlease = 11\nshutdown_timeout = 12.5\nunknown_tasks = "fail"\n'
    )
    environ = {
        "ASYNQIO_CONCURRENCY": "2",
        "ASYNQIO_LEASE": "22",
        "ASYNQIO_STRICT_PRIORITY": "yes",
        "HOME": "/",
    }
    config, settings = load_config({"concurrency": 3}, environ=environ, file=file)
    assert (config.concurrency, config.lease, config.shutdown_timeout) == (3, 22.0, 12.5)
    assert config.strict_priority is True
    assert config.unknown_tasks is UnknownTask.FAIL
    origins = {setting.name: setting.origin for setting in settings}
    assert origins["concurrency"] == "argument"
    assert origins["lease"] == "ASYNQIO_LEASE"
    assert origins["shutdown_timeout"] == str(file)
    assert origins["max_crashes"] == "default"


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "asynqio.toml"
    file.write_text('[server]\nconcurency = 1\nlease = "long"\n[sever]\n')
    environ = {"ASYNQIO_QUEUES": "a=x", "ASYNQIO_STRICT_PRIORITY": "perhaps", "ASYNQIO_UNKNOWN_TASKS": "burn"}
    with pytest.raises(ConfigError) as caught:
        load_config({"shutdown": 1}, environ=environ, file=file)
    text = str(caught.value)
    for part in (
        "unknown option 'concurency', did you mean 'concurrency'?",
        "lease='long' must be a number",
        "unknown option 'sever', did you mean 'server'?",
        "queues='a=x' must look like critical=6,default=3",
        "strict_priority='perhaps' must be true or false",
        "unknown_tasks='burn' must be one of defer, fail, archive",
        "argument: unknown option 'shutdown'",
    ):
        assert part in text
    assert len(caught.value.problems) == 7


def test_a_file_that_is_not_toml_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "asynqio.toml"
    file.write_bytes(b"\xff\xfe[server")
    with pytest.raises(ConfigError, match=r"asynqio\.toml"):
        load_config({}, environ={}, file=file)
    assert load_config({}, environ={}, file=tmp_path / "none.toml")[0] == ServerConfig()


def test_queues_as_text() -> None:
    assert parse_queues("critical=6,default=3") == {"critical": 6, "default": 3}
    assert parse_queues("a, b") == {"a": 1, "b": 1}
    assert parse_queues("odd=name=2") == {"odd=name": 2}
    for wrong in ("", "a=", "=1", "a=1,,b", "a=-1"):
        with pytest.raises(ValueError, match="critical=6"):
            parse_queues(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"concurrency": 1.5},
        {"concurrency": True},
        {"lease": 0.5},
        {"lease": float("nan")},
        {"lease": float("inf")},
        {"shutdown_timeout": -1},
        {"max_crashes": 0},
        {"queues": {}},
        {"queues": {"a": 0}},
        {"queues": {" ": 1}},
        {"unknown_tasks": "defer"},
        {"group_grace": 0},
        {"process_max_memory": -1},
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ServerConfig(**wrong)  # type: ignore[arg-type]


def test_the_broker_comes_from_the_argument_or_the_environment() -> None:
    assert broker_url("memory://", {"ASYNQIO_BROKER": "sqlite:///x.db"}) == "memory://"
    assert broker_url(None, {"ASYNQIO_BROKER": "sqlite:///x.db"}) == "sqlite:///x.db"
    with pytest.raises(ConfigError, match="ASYNQIO_BROKER"):
        broker_url(None, {})


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("max_retry", "it is an option of tasks, for @app.task(…), App(…) or Client(…)"),
        ("queue", "write queues"),
        ("workers", "write concurrency"),
        ("max_tasks_per_child", "write process_max_tasks"),
        ("prefetch_multiplier", "leave it out: a server fetches as many tasks as it has free slots"),
    ],
)
def test_a_word_of_another_place_is_refused_with_the_right_one(word: str, advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Server("memory://", **{word: 5})  # type: ignore[arg-type]
    assert f"argument: unknown option {word!r}: {advice}" in str(caught.value)


@pytest.mark.parametrize("face", [App, Client, Inspector, Server, Scheduler, sync.Client, sync.Inspector])
def test_what_is_no_broker_is_refused(face: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be a URL such as sqlite:///tasks\.db, or a broker, not 5"):
        face(5)
    with pytest.raises(ConfigError, match="must be a URL"):
        App("memory://").use_broker(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("ASYNQIO_CONCURENCY", "did you mean ASYNQIO_CONCURRENCY?"),
        ("ASYNQIO_BROKER_URL", "did you mean ASYNQIO_BROKER?"),
        ("ASYNQIO_WORKERS", "write concurrency (coroutines and threads) or processes"),
        ("ASYNQIO_XYZ", "it is ignored"),
    ],
)
def test_an_unknown_variable_is_reported(
    variable: str, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(variable, "secret")
    assert f"unknown variable {variable}: {message}" in unknown_variables()
    Server("memory://")
    [record] = [record for record in caplog.records if variable in record.message]
    assert getattr(record, "event", "") == "unknown_variable"
    assert "secret" not in caplog.text


def test_known_variables_are_not_reported() -> None:
    kubernetes = (
        "REDIS_SERVICE_HOST",
        "REDIS_SERVICE_PORT_HTTP",
        "REDIS_PORT",
        "PORT_6379_TCP_ADDR",
        "WEB_PORT_80_TCP",
    )
    known = [f"ASYNQIO_{name}" for name in (*kubernetes, "BROKER", "WORKER_INDEX", "LEASE", "METRICS_PORT")]
    assert unknown_variables(dict.fromkeys([*known, "ASYNQ_X", "HOME"], "x")) == []
