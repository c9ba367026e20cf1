"""The broker of commands that are given none: a gateway on this machine."""

from __future__ import annotations

import os

from asynqio import App

#: Where `asynqio gateway` listens by default.
DEFAULT_GATEWAY = "ws://127.0.0.1:8080"
_VARIABLE = "ASYNQIO_BROKER"
_used: list[str] = []


def default_broker() -> str:
    """The URL for a command that is given none. Remembered, so that an error can say where the URL came from."""
    _used.append(DEFAULT_GATEWAY)
    return DEFAULT_GATEWAY


def is_used() -> bool:
    """Whether the command uses the default."""
    return bool(_used)


def use_broker(app: App, url: str | None) -> None:
    """Let an App use the broker of the command line, else its own one, that of the environment, or the default."""
    if url is None and not app.has_broker and not os.environ.get(_VARIABLE):
        url = default_broker()
    if url is not None:
        app.use_broker(url)
