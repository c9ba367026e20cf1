"""The bodies of requests: JSON, decoded into typed structs."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import ClientException, HTTPException

from asynqio.gateway.errors import InvalidRequest

T = TypeVar("T")


def decode_body(request: Request[Any, Any, Any], body: bytes, type: type[T]) -> T:
    """Decode the body of a request. Numbers keep their digits where the type is `msgspec.Raw`.

    Raises HTTPException (415) unless it is JSON, and InvalidRequest, whose text names the field."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HTTPException("send Content-Type: application/json", status_code=415)
    try:
        value = msgspec.json.decode(body, type=type)
        json.loads(body, object_pairs_hook=_without_duplicates, parse_int=str, parse_float=str)
    except msgspec.ValidationError as error:
        raise InvalidRequest([_field(str(error))]) from None
    except (ValueError, RecursionError) as error:
        raise ClientException(f"the body is not valid JSON: {error}") from None
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:100]!r} is given twice")


def _field(text: str) -> str:
    """`Expected str, got int - at $.queue` as `queue: expected str, got int`."""
    what, at, path = text.partition(" - at `$")
    field = path.strip("`").lstrip(".")
    return f"{field}: {what}" if at and field else what
