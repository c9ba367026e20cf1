"""Who may do what, as the security requirements have it, and one request for each route of a gateway."""

from __future__ import annotations

import enum
import itertools
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

from litestar import Litestar
from litestar.routes import ASGIRoute, HTTPRoute

from asynqio.core.access.actions import MANAGEMENT, Action
from asynqio.core.access.roles import Role

_READERS = {Role.VIEWER, Role.OPERATOR, Role.ADMIN}
_USERS = {Role.PRODUCER, Role.WORKER}
_OPERATORS = {Role.OPERATOR, Role.ADMIN}

#: The roles that may perform each action without a further grant.
PERMITTED: dict[Action, set[Role]] = {
    Action.ENQUEUE: {Role.PRODUCER, Role.ADMIN},
    Action.CLAIM: {Role.WORKER},
    Action.READ: _USERS | _READERS,
    Action.READ_PAYLOAD: _USERS | {Role.ADMIN},
    Action.READ_RESULT: _USERS | {Role.ADMIN},
    Action.RUN: _OPERATORS,
    Action.ARCHIVE: _OPERATORS,
    Action.CANCEL: _OPERATORS,
    Action.DELETE: {Role.ADMIN},
    Action.EDIT: {Role.ADMIN},
    Action.PAUSE: _OPERATORS,
    Action.DELETE_QUEUE: {Role.ADMIN},
    Action.READ_SCHEDULES: _READERS,
    Action.WRITE_SCHEDULES: {Role.ADMIN},
    Action.RUN_SCHEDULES: _OPERATORS,
    Action.READ_SERVERS: _READERS,
    Action.CONTROL_SERVERS: _OPERATORS,
    Action.READ_EVENTS: _USERS | _READERS,
    Action.READ_METRICS: {Role.ADMIN, Role.MONITOR},
    Action.READ_AUDIT: {Role.ADMIN},
    Action.MANAGE_USERS: {Role.ADMIN},
    Action.MANAGE_TOKENS: {Role.ADMIN},
    Action.MANAGE_KEYS: {Role.ADMIN},
    Action.MANAGE_TENANTS: {Role.ADMIN},
}


class Reach(enum.Enum):
    """What a request concerns, and so what the patterns of a grant must cover."""

    #: No queue.
    NOTHING = "nothing"
    #: A queue, for at least one type.
    QUEUE = "queue"
    #: All tasks of a queue, whatever their types.
    WHOLE = "whole"
    #: A task of one type in one queue.
    TASK = "task"
    #: The same, but it is found by its id alone: who may not see it gets 404.
    HIDDEN = "hidden"


class Case(NamedTuple):
    """A queue and a type that a request names, and an id that is unused in them."""

    queue: str
    type: str
    id: str


class Row(NamedTuple):
    """A route: the action that it needs, what it concerns, and a request that succeeds for those who may."""

    action: Action | None
    reach: Reach
    status: int = 200
    json: Any = None
    state: str = ""

    def body(self, case: Case) -> Any:
        return _filled(self.json, case)


def _filled(value: Any, case: Case) -> Any:
    if isinstance(value, str):
        return value.format(**case._asdict())
    if isinstance(value, dict):
        return {key: _filled(item, case) for key, item in value.items()}
    return [_filled(item, case) for item in value] if isinstance(value, list) else value


_JOB = {"type": "{type}", "queue": "{queue}", "payload": 1}
#: Every route with authentication, except the two of the WebSocket.
ROUTES: dict[tuple[str, str], Row] = {
    ("GET", "/api/queues"): Row(Action.READ, Reach.NOTHING),
    ("GET", "/api/queues/{queue:str}"): Row(Action.READ, Reach.QUEUE),
    ("GET", "/api/queues/{queue:str}/tasks"): Row(Action.READ, Reach.QUEUE, state="scheduled"),
    ("DELETE", "/api/queues/{queue:str}/tasks"): Row(Action.DELETE, Reach.WHOLE, state="scheduled"),
    ("DELETE", "/api/queues/{queue:str}/tasks/{task_id:str}"): Row(Action.DELETE, Reach.TASK),
    ("POST", "/api/queues/{queue:str}/tasks/{task_id:str}/run"): Row(Action.RUN, Reach.TASK),
    ("POST", "/api/queues/{queue:str}/tasks/{task_id:str}/archive"): Row(Action.ARCHIVE, Reach.TASK),
    ("POST", "/api/queues/{queue:str}/tasks/requeue"): Row(Action.RUN, Reach.WHOLE, state="scheduled"),
    ("POST", "/api/queues/{queue:str}/pause"): Row(Action.PAUSE, Reach.WHOLE),
    ("POST", "/api/queues/{queue:str}/resume"): Row(Action.PAUSE, Reach.WHOLE),
    ("GET", "/api/tenants"): Row(Action.MANAGE_TENANTS, Reach.NOTHING),
    ("POST", "/api/tenants"): Row(
        Action.MANAGE_TENANTS, Reach.NOTHING, 201, {"id": "{id}", "username": "{id}", "password": "x"}
    ),
    ("DELETE", "/api/tenants/{username:str}"): Row(Action.MANAGE_TENANTS, Reach.NOTHING),
    ("PUT", "/api/tenants/{username:str}/password"): Row(
        Action.MANAGE_TENANTS, Reach.NOTHING, json={"password": "y"}
    ),
    ("GET", "/api/v1/tokens"): Row(Action.MANAGE_TOKENS, Reach.NOTHING),
    ("POST", "/api/v1/tokens"): Row(
        Action.MANAGE_TOKENS, Reach.NOTHING, 201, {"name": "{id}", "role": "viewer"}
    ),
    ("DELETE", "/api/v1/tokens/{token_id:str}"): Row(Action.MANAGE_TOKENS, Reach.NOTHING),
    ("GET", "/api/v1/audit"): Row(Action.READ_AUDIT, Reach.NOTHING),
    ("POST", "/api/v1/jobs"): Row(Action.ENQUEUE, Reach.TASK, 201, _JOB),
    ("POST", "/api/v1/jobs/batch"): Row(Action.ENQUEUE, Reach.TASK, 201, [_JOB, _JOB]),
    ("GET", "/api/v1/jobs/{job_id:str}"): Row(Action.READ, Reach.HIDDEN),
    ("GET", "/api/v1/jobs/{job_id:str}/result"): Row(Action.READ_RESULT, Reach.HIDDEN, 202),
}
#: The routes without authentication.
PUBLIC = {"/health", "/health/live", "/health/ready"}
WEBSOCKETS = {"/", "/ws"}

#: Requests that are recorded: those that change something, except the work with tasks itself.
AUDITED = {
    key: row
    for key, row in ROUTES.items()
    if key[0] != "GET" and row.action not in (Action.ENQUEUE, Action.CLAIM)
}

QUEUE, TYPE = "mail-{}", "email:send"
OTHER_QUEUE, OTHER_TYPE = "other-{}", "sms:send"
_numbers = itertools.count()


def new_case(queue: str = QUEUE, type: str = TYPE) -> Case:
    """A case in a queue of its own."""
    return Case(queue.format(next(_numbers)), type, str(uuid.uuid4()))


def path_of(route: str, case: Case) -> str:
    """The path of a request to a route, for one case."""
    parts = {
        "queue": case.queue,
        "task_id": case.id,
        "job_id": case.id,
        "username": case.id,
        "token_id": case.id,
    }
    for name, value in parts.items():
        route = route.replace("{" + name + ":str}", value)
    assert "{" not in route, f"what is {route}?"
    return route


def routes_of(app: Litestar) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and `opt` of each route of an app, as its router has them; `OPTIONS` is the router's own."""
    for route in app.routes:
        match route:
            case HTTPRoute():
                for handler in route.route_handlers:
                    for method in handler.http_methods:
                        yield method, route.path, handler.opt
            case ASGIRoute():
                yield "WEBSOCKET", route.path, route.route_handler.opt
            case _:
                raise AssertionError(f"what kind of route is {route}?")


def is_denied(role: Role, row: Row, *, other_queue: bool, other_type: bool, typed: bool) -> bool:
    """Whether a token of a role on the queues `mail-*`, and `typed`: on the types `email:*`, is refused."""
    if row.action is None:
        return False
    if role not in PERMITTED[row.action]:
        return True
    if row.reach is Reach.NOTHING or row.action in MANAGEMENT:
        return False
    if other_queue:
        return True
    return typed and (row.reach is Reach.WHOLE or (other_type and row.reach is not Reach.QUEUE))
