"""Builds the program of `peer/` with cargo.

`python -m tests.interop.rust.support.build` builds it now.

Cargo builds only what has changed, so only the first build takes long: it downloads and compiles about 100 crates.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.brokers.redis.support.servers import MissingProgram
from tests.interop.support.compiler import Say, follow, locked, to_stderr

SOURCES = Path(__file__).parents[1] / "peer"
CACHE = Path(__file__).parents[4] / ".cache" / "rust"
#: The default location of the installer of Rust, which may not be on PATH.
USUAL_PLACE = Path.home() / ".cargo" / "bin" / "cargo"


def program(say: Say) -> Path:
    """Build the program if it has changed. Skips the test without cargo.

    Raises MissingProgram if crates cannot be downloaded.
    """
    cargo = _cargo()
    with locked(CACHE, "Rust peer", say):
        # A failure here concerns crates; nothing has been compiled yet.
        if problem := follow(cargo, "fetch", "--quiet", "--locked", cwd=SOURCES, say=say):
            raise MissingProgram(f"the crates of the Rust peer cannot be had:\n{problem}")
        build = ["build", "--locked", "--offline", "--target-dir", str(CACHE)]
        if problem := follow(cargo, *build, cwd=SOURCES, say=say):
            raise AssertionError(f"the Rust peer does not compile:\n{problem}")
    return CACHE / "debug" / "peer"


def complaints() -> str:
    """The output of rustfmt for the sources."""
    return follow(_cargo(), "fmt", "--check", cwd=SOURCES, say=lambda _: None)


def _cargo() -> str:
    found = shutil.which("cargo") or shutil.which(USUAL_PLACE)
    if found is None:
        pytest.skip("cargo is not installed (https://rustup.rs), so there is no Rust asynq to talk to")
    # The cargo of rustup is there even without a toolchain.
    asked = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    if asked.returncode:
        pytest.skip(f"cargo does not work, so there is no Rust asynq to talk to: {asked.stderr[:200]}")
    return found


if __name__ == "__main__":
    print(program(to_stderr))
