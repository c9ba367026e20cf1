"""The options of a server are declared in one place."""

from __future__ import annotations

import dataclasses

from asynqio.runtime.server_config import ServerConfig, ServerOptions


def test_the_keyword_arguments_are_the_fields_of_the_config() -> None:
    assert ServerOptions.__annotations__.keys() == {field.name for field in dataclasses.fields(ServerConfig)}
