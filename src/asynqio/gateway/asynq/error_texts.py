"""The texts of errors in the asynq-server protocol. Clients recognise some of them by their beginning or end."""

from __future__ import annotations

import uuid

from asynqio.errors import DuplicateTask, InvalidTask, TaskIdConflict
from asynqio.gateway.errors import InvalidFrame, TaskNotHeld
from asynqio.gateway.problems import problem_of


def error_text(error: Exception) -> str:
    """The message of the answer to a request that failed."""
    match error:
        case InvalidFrame():
            return str(error)
        case InvalidTask():
            return f"Invalid message: Invalid task: {error}"
        case DuplicateTask():
            return "Broker error: Task already exists"
        case TaskIdConflict():
            return "Broker error: Task ID conflicts with another task"
        case TaskNotHeld():
            return f'Broker error: {error} "NOT": FOUND'
    problem = problem_of(error, uuid.uuid4().hex[:12])
    return f"Broker error: {problem.kind.title}: {problem.detail}"
