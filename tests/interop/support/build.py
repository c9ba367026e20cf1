"""Builds the Go programs of `go/` once for all test processes.

`python -m tests.interop.support.build` builds them now.

Go caches modules and compiled packages, so only the first build on a machine takes long: it downloads and compiles
about 30 MB.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.brokers.redis.support.servers import MissingProgram
from tests.interop.support.compiler import Say, follow, locked, to_stderr

SOURCES = Path(__file__).parents[1] / "go"
CACHE = Path(__file__).parents[3] / ".cache" / "interop"
#: The default location of Go's installer, which is not on PATH.
USUAL_PLACE = "/usr/local/go/bin/go"
#: The first minor version of Go that downloads the version required by a go.mod.
OLDEST = 21
#: Builds are independent of the state of the checkout and do not change go.mod.
ENVIRONMENT = {"GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}


class Programs(NamedTuple):
    """The built programs."""

    peer: Path
    cli: Path
    #: A server of Go asynq 0.21.
    old: Path


def programs(say: Say) -> Programs:
    """Build missing programs. Raises MissingProgram without Go, or if modules cannot be downloaded."""
    go = _go()
    folder = CACHE / _fingerprint(go)
    built = Programs(folder / "peer", folder / "asynq", folder / "old")
    with locked(CACHE, "Go peers", say):
        if not folder.exists():
            _build(go, folder, say)
    return built


def complaints() -> str:
    """The output of gofmt and vet for the sources."""
    go = _go()
    unformatted = _output(str(Path(go).with_name("gofmt")), "-l", ".", cwd=SOURCES)
    return unformatted + _follow(go, "vet", ".", cwd=SOURCES, say=lambda _: None)


def _go() -> str:
    go = shutil.which("go") or shutil.which(USUAL_PLACE)
    if go is None:
        raise MissingProgram("go is not installed (https://go.dev/dl), so there is no asynq to talk to")
    return go


def _fingerprint(go: str) -> str:
    """A hash of the sources, their dependencies and the version of Go."""
    # Not next to a go.mod, which an old Go may not understand.
    version, system, machine = _output(go, "env", "GOVERSION", "GOOS", "GOARCH", cwd=Path(go).parent).split()
    if (found := re.match(r"go1\.(\d+)", version)) and int(found[1]) < OLDEST:
        raise MissingProgram(
            f"{go} is {version}: asynq needs 1.24, which Go fetches by itself from 1.{OLDEST} on"
        )
    content = hashlib.sha256(f"{version} {system} {machine}".encode())
    for path in sorted(SOURCES.rglob("*")):
        if path.is_file():
            content.update(f"{path.relative_to(SOURCES)}\0".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def _build(go: str, folder: Path, say: Say) -> None:
    began = time.monotonic()
    for old in CACHE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        unfinished = Path(name) / "programs"
        for target, package, module in (
            ("peer", ".", SOURCES),
            ("asynq", "github.com/hibiken/asynq/tools/asynq", SOURCES / "cli"),
            ("old", ".", SOURCES / "old"),
        ):
            say(f"Go peers: {target}: looking for its modules")
            # A failure here concerns modules; nothing has been compiled yet.
            if problem := _follow(go, "list", "-deps", package, cwd=module, say=say):
                raise MissingProgram(f"the modules of the Go {target} cannot be had:\n{problem}")
            say(f"Go peers: {target}: compiling")
            command = ["build", "-trimpath", "-ldflags=-s -w", "-o", str(unfinished / target), package]
            if problem := _follow(go, *command, cwd=module, say=say):
                raise AssertionError(f"the Go {target} does not compile:\n{problem}")
        unfinished.rename(folder)
    say(f"Go peers: built in {time.monotonic() - began:.0f} s")


def _follow(go: str, *arguments: str, cwd: Path, say: Say) -> str:
    return follow(go, *arguments, cwd=cwd, say=say, environment=ENVIRONMENT)


def _output(*command: str, cwd: Path) -> str:
    run = subprocess.run(
        command, cwd=cwd, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=True
    )
    return run.stdout


if __name__ == "__main__":
    for program in programs(to_stderr):
        print(program)
