"""Alerts and dashboards use only exported metrics, and a real Prometheus accepts them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from asynqio import Server, Task, sync
from asynqio.metrics import Endpoint, QueueCollector, ServerMetrics
from tests.brokers.redis.support.ports import free_port
from tests.brokers.redis.support.servers import MissingProgram
from tests.metrics.scraping import fetch
from tests.pages import tables_of
from tests.until import until

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "asynqio.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "asynqio.json"
#: The sample suffixes of each type of metric.
SUFFIXES = {
    "counter": ["_total"],
    "histogram": ["_bucket", "_count", "_sum"],
    "gauge": [""],
    "info": ["_info"],
}
#: An alert written for Go's exporter.
FOR_GO = """
groups:
  - name: asynq
    rules:
      - alert: Latency
        expr: asynq_queue_latency_seconds{queue="default"} > 600
      - alert: Paused
        expr: asynq_queue_paused_total == 1
      - alert: Failures
        expr: rate(asynq_tasks_failed_total[5m]) / rate(asynq_tasks_processed_total[5m]) > 0.1
      - alert: Archive
        expr: asynq_tasks_enqueued_total{state="archived"} > 1000 or asynq_queue_size > 1000000
      - alert: Memory
        expr: asynq_queue_memory_usage_approx_bytes > 1
"""


@pytest.fixture
def output(tmp_path: Path) -> Iterator[CollectorRegistry]:
    """Registers all metrics of a server and of a used queue."""
    metrics = ServerMetrics(Server("memory://"))
    with sync.Client(f"sqlite:///{tmp_path}/tasks.db") as client:
        client.enqueue(Task("a"))
        collector = QueueCollector(sync.Inspector(client.broker))
        metrics.registry.register(collector)
        yield metrics.registry
        collector.close()


#: Metrics of a running server, which test_server.py checks.
VITALS = {
    "asynqio_server_info",
    "asynqio_slots",
    "asynqio_slots_busy",
    "asynqio_handlers_stuck",
    "asynqio_settlements_waiting",
    "asynqio_heartbeat_age_seconds",
}


def exported(registry: CollectorRegistry) -> set[str]:
    """The names of all possible samples."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return VITALS | {
        family.name + suffix for family in families for suffix in SUFFIXES.get(family.type, [""])
    }


def metrics_in(expression: str) -> set[str]:
    """The metrics in an expression."""
    return set(re.findall(r"\b(?:asynqio|asynq|process)_\w+", expression))


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_metric_in_the_alerts_is_exported(output: CollectorRegistry) -> None:
    named = {name for rule in rules() for name in metrics_in(rule["expr"])}
    assert len(named) > 10
    assert named - exported(output) == set()


def test_every_metric_in_the_dashboard_is_exported(output: CollectorRegistry) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    shown = {
        name
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
        for name in metrics_in(target["expr"])
    }
    shown |= {
        name for variable in dashboard["templating"]["list"] for name in metrics_in(str(variable["query"]))
    }
    assert len(shown) > 20
    assert shown - exported(output) == set()


def test_every_asynqio_metric_is_documented_in_the_guide(output: CollectorRegistry) -> None:
    guide = DEPLOY.parent / "docs" / "guides" / "monitoring.md"
    listed = {name for row in tables_of(guide) if (name := row[0]).startswith("asynqio_")}
    families = text_string_to_metric_families(generate_latest(output).decode())
    ours = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in families
        if family.name.startswith("asynqio_")
    }
    assert listed == VITALS | {name for name in ours if not name.endswith("_created")}
    text = guide.read_text()
    assert [name for name in exported(output) if name.startswith("asynq_") and name not in text] == []


def test_an_unknown_metric_is_detected(output: CollectorRegistry) -> None:
    assert metrics_in("rate(asynqio_misspelt_total[5m]) / asynq_queue_size") == {
        "asynqio_misspelt_total",
        "asynq_queue_size",
    }
    assert {"asynqio_misspelt_total", "asynq_queue_size"} - exported(output) == {"asynqio_misspelt_total"}
    # Expressions name samples, not metric families
    assert "asynqio_attempts_ended" not in exported(output)


def test_panels_have_unique_names_and_positions() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    cells = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in panels
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "two panels lie over each other"


def test_every_alert_has_a_summary_and_a_description() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("info", "warning", "critical"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}, rule["alert"]


def test_every_alert_is_tested() -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus" / "asynqio.tests.yml").read_text())["tests"]
    fired = {
        case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in rules()}


# --- with Prometheus itself -----------------------------------------------------------------------


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingProgram(f"{name} is not installed (Debian: apt-get install prometheus)")
    return found


def promtool(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("promtool"), *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
    )


def test_promtool_accepts_the_alerts() -> None:
    done = promtool("check", "rules", str(RULES))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_pass_their_promtool_tests() -> None:
    done = promtool("test", "rules", str(DEPLOY / "prometheus" / "asynqio.tests.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_metrics(output: CollectorRegistry) -> None:
    done = promtool("check", "metrics", text=generate_latest(output).decode())
    # The names of Go's metrics break the conventions, but must not change
    problems = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("asynq_")]
    assert problems == []


def test_a_real_prometheus_scrapes_the_exporter_and_evaluates_alerts(tmp_path: Path) -> None:
    (tmp_path / "go.yml").write_text(FOR_GO)
    with sync.Client(f"sqlite:///{tmp_path}/tasks.db") as client:
        client.enqueue(Task("a"))
        collector = QueueCollector(sync.Inspector(client.broker), max_age=0)
        registry = CollectorRegistry()
        registry.register(collector)
        endpoint = Endpoint(registry, 0).open()
        try:
            config = {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(RULES), str(tmp_path / "go.yml")],
                "scrape_configs": [
                    {"job_name": "q", "static_configs": [{"targets": [endpoint.url.split("/")[2]]}]}
                ],
            }
            (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
            check_with_prometheus(tmp_path)
        finally:
            endpoint.close()
            collector.close()


def check_with_prometheus(folder: Path) -> None:
    """Run Prometheus with the configuration in `folder` and check its targets and alerts."""
    port = free_port()
    log = (folder / "prometheus.log").open("w")
    with (
        log,
        subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        ) as prometheus,
    ):

        def ask(path: str, **query: str) -> Any:
            url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
            try:
                return json.loads(fetch(url))["data"]
            except OSError:
                return None  # it is still starting

        try:
            found = until(
                "Prometheus has our samples",
                lambda: (ask("query", query="asynq_queue_size") or {}).get("result"),
                every=0.2,
            )
            assert [(one["metric"]["queue"], one["value"][1]) for one in found] == [("default", "1")]
            groups = until(
                "Prometheus has evaluated the alerts",
                lambda: [
                    group
                    for group in (ask("rules") or {}).get("groups", [])
                    if all(rule["health"] != "unknown" for rule in group["rules"])
                ],
                every=0.2,
            )
            every = [rule for group in groups for rule in group["rules"]]
            assert [(rule["name"], rule["lastError"]) for rule in every if rule["health"] != "ok"] == []
            memory = until(
                "an alert for Go's exporter fires",
                lambda: (ask("query", query='ALERTS{alertname="Memory"}') or {}).get("result"),
                every=0.2,
            )
            assert memory[0]["metric"]["queue"] == "default"
        finally:
            prometheus.terminate()
            prometheus.wait(timeout=30)
