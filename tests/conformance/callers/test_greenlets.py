"""Blocking calls work in greenlets, and let other greenlets run; where they cannot, they say what to patch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.conftest import BROKERS, broker_url


def run(library: str, url: str, **patches: bool) -> str:
    """What the program of greenlets printed."""
    command = [sys.executable, "-m", "tests.conformance.callers.greenlets", library, json.dumps(patches), url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.parametrize("kind", [*BROKERS, "remote"])
@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_blocking_calls_of_greenlets(library: str, kind: str, tmp_path: Path) -> None:
    assert run(library, broker_url(kind, tmp_path)) == "ok"


@pytest.mark.parametrize(
    ("library", "unpatched"), [("gevent", ["select"]), ("gevent", ["thread"]), ("eventlet", ["select"])]
)
def test_what_to_patch(library: str, unpatched: list[str], tmp_path: Path) -> None:
    answer = run(library, broker_url("sqlite", tmp_path), **dict.fromkeys(unpatched, False))
    assert answer.startswith("ConfigError: ")
    assert "let it patch all three, or none" in answer


def test_greenlets_beside_real_threads(tmp_path: Path) -> None:
    answer = run("gevent", broker_url("sqlite", tmp_path), thread=False, select=False, queue=False)
    assert answer == "the other greenlets stood still", "it works, and the process waits for the answer"
