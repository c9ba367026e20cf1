"""Answers to requests that fail: problem documents (RFC 9457)."""

from __future__ import annotations

from typing import Any

import msgspec

from asynqio.gateway.asgi import Receive, Scope, Send
from asynqio.gateway.problems import Problem

MEDIA_TYPE = "application/problem+json"
_TYPES = "https://asynqio.github.io/asynqio/reference/problems/#"


def problem_document(problem: Problem) -> dict[str, Any]:
    """The body for a problem. `error` is the only field that the APIs had which this one replaces."""
    kind = problem.kind
    document: dict[str, Any] = {
        "type": _TYPES + kind.name,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "error": problem.detail,
    }
    if problem.errors:
        document["errors"] = [{"field": field, "message": message} for field, message in problem.errors]
    return document


def problem_headers(problem: Problem, request_id: str) -> dict[str, str]:
    """The headers for a problem."""
    headers = {"X-Request-Id": request_id}
    if problem.kind.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="asynqio", charset="UTF-8"'
    if problem.retry_after:
        headers["Retry-After"] = str(problem.retry_after)
    return headers


async def refuse(scope: Scope, receive: Receive, send: Send, problem: Problem, request_id: str) -> None:
    """Answer a request, or the upgrade to a WebSocket, with a problem."""
    body = msgspec.json.encode(problem_document(problem))
    headers = {
        **problem_headers(problem, request_id),
        "Content-Type": MEDIA_TYPE,
        "Content-Length": str(len(body)),
    }
    prefix = "http.response"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})  # servers answer it with status 403
            return
        prefix = "websocket.http.response"
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{prefix}.start", "status": problem.kind.status, "headers": raw})
    await send({"type": f"{prefix}.body", "body": body})
