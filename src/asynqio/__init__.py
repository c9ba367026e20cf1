"""asynqio: a distributed task queue for Python.

Each public name is loaded at its first use: `import asynqio` loads no driver and no event loop.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from asynqio.app.app import App as App
    from asynqio.app.task_function import TaskFunction as TaskFunction
    from asynqio.app.task_handle import SyncTaskHandle as SyncTaskHandle
    from asynqio.app.task_handle import TaskHandle as TaskHandle
    from asynqio.brokers import open_broker as open_broker
    from asynqio.brokers.contract.broker import Store as Store
    from asynqio.brokers.contract.results import Moved as Moved
    from asynqio.client import Client as Client
    from asynqio.config import Setting as Setting
    from asynqio.config import load as load_config
    from asynqio.config import parse_queues as parse_queues
    from asynqio.config import unknown_variables as unknown_variables
    from asynqio.core.attempts.follow import ProgressChange as ProgressChange
    from asynqio.core.attempts.follow import StateChange as StateChange
    from asynqio.core.attempts.follow import TaskEvent as TaskEvent
    from asynqio.core.attempts.record import AttemptOutcome as AttemptOutcome
    from asynqio.core.attempts.record import AttemptRecord as AttemptRecord
    from asynqio.core.attempts.record import LogLine as LogLine
    from asynqio.core.durations import parse_seconds as parse_seconds
    from asynqio.core.explain.model import Explanation as Explanation
    from asynqio.core.filters import Filter as Filter
    from asynqio.core.findings import Finding as Finding
    from asynqio.core.findings import Severity as Severity
    from asynqio.core.groups import GroupRule as GroupRule
    from asynqio.core.info import DayStats as DayStats
    from asynqio.core.info import GroupStats as GroupStats
    from asynqio.core.info import QueueStats as QueueStats
    from asynqio.core.info import ScheduleInfo as ScheduleInfo
    from asynqio.core.info import SchedulerInfo as SchedulerInfo
    from asynqio.core.info import ServerInfo as ServerInfo
    from asynqio.core.info import StoreNode as StoreNode
    from asynqio.core.info import WorkerInfo as WorkerInfo
    from asynqio.core.lifecycle import Action as Action
    from asynqio.core.lifecycle import TransferTo as TransferTo
    from asynqio.core.lifecycle import UnknownTask as UnknownTask
    from asynqio.core.retry import ExponentialRetry as ExponentialRetry
    from asynqio.core.retry import FixedRetry as FixedRetry
    from asynqio.core.retry import GoRetry as GoRetry
    from asynqio.core.retry import RetryByException as RetryByException
    from asynqio.core.schedules.cron import parse_schedule as parse_schedule
    from asynqio.core.schedules.entry import ScheduleEntry as ScheduleEntry
    from asynqio.core.schedules.firing import FireEvent as FireEvent
    from asynqio.core.schedules.next_time import upcoming as upcoming
    from asynqio.core.task.message import TaskInfo as TaskInfo
    from asynqio.core.task.message import TaskMessage as TaskMessage
    from asynqio.core.task.message import TaskState as TaskState
    from asynqio.core.task.options import TaskOptions as TaskOptions
    from asynqio.core.task.task import Task as Task
    from asynqio.errors import AccessDenied as AccessDenied
    from asynqio.errors import AsynqioError as AsynqioError
    from asynqio.errors import AuthenticationFailed as AuthenticationFailed
    from asynqio.errors import BadPayload as BadPayload
    from asynqio.errors import BrokerError as BrokerError
    from asynqio.errors import BrokerRefused as BrokerRefused
    from asynqio.errors import BrokerUnavailable as BrokerUnavailable
    from asynqio.errors import CannotStore as CannotStore
    from asynqio.errors import ConfigError as ConfigError
    from asynqio.errors import ConflictingOptions as ConflictingOptions
    from asynqio.errors import CorruptMessage as CorruptMessage
    from asynqio.errors import DeadlineExceeded as DeadlineExceeded
    from asynqio.errors import Directive as Directive
    from asynqio.errors import DuplicateTask as DuplicateTask
    from asynqio.errors import EnqueueError as EnqueueError
    from asynqio.errors import EntryNotFound as EntryNotFound
    from asynqio.errors import ExecutionError as ExecutionError
    from asynqio.errors import HandlerExit as HandlerExit
    from asynqio.errors import HandlerMisuse as HandlerMisuse
    from asynqio.errors import HandlerNotFound as HandlerNotFound
    from asynqio.errors import InitializerFailed as InitializerFailed
    from asynqio.errors import InvalidArguments as InvalidArguments
    from asynqio.errors import InvalidFilter as InvalidFilter
    from asynqio.errors import InvalidName as InvalidName
    from asynqio.errors import InvalidOption as InvalidOption
    from asynqio.errors import InvalidSchedule as InvalidSchedule
    from asynqio.errors import InvalidTask as InvalidTask
    from asynqio.errors import LeaseExpired as LeaseExpired
    from asynqio.errors import NotFound as NotFound
    from asynqio.errors import NotSerializable as NotSerializable
    from asynqio.errors import PayloadTooLarge as PayloadTooLarge
    from asynqio.errors import ProcessNotStarted as ProcessNotStarted
    from asynqio.errors import ProgressTooLarge as ProgressTooLarge
    from asynqio.errors import QueueNotFound as QueueNotFound
    from asynqio.errors import ResultError as ResultError
    from asynqio.errors import ResultNotKept as ResultNotKept
    from asynqio.errors import ResultTimeout as ResultTimeout
    from asynqio.errors import ResultTooLarge as ResultTooLarge
    from asynqio.errors import RetryIn as RetryIn
    from asynqio.errors import RevokeTask as RevokeTask
    from asynqio.errors import ServerStateError as ServerStateError
    from asynqio.errors import SkipRetry as SkipRetry
    from asynqio.errors import StorageFull as StorageFull
    from asynqio.errors import StoreReplaced as StoreReplaced
    from asynqio.errors import TaskCancelled as TaskCancelled
    from asynqio.errors import TaskFailed as TaskFailed
    from asynqio.errors import TaskIdConflict as TaskIdConflict
    from asynqio.errors import TaskNotFound as TaskNotFound
    from asynqio.errors import TaskTimeout as TaskTimeout
    from asynqio.errors import TooManyAttempts as TooManyAttempts
    from asynqio.errors import VersionMismatch as VersionMismatch
    from asynqio.errors import WorkerDied as WorkerDied
    from asynqio.errors import WrongProcess as WrongProcess
    from asynqio.errors import WrongState as WrongState
    from asynqio.inspector.bulk import Applied as Applied
    from asynqio.inspector.inspector import Inspector as Inspector
    from asynqio.mux import Mux as Mux
    from asynqio.mux import Next as Next
    from asynqio.runtime.attempts.context import TaskContext as TaskContext
    from asynqio.runtime.attempts.context import current as current
    from asynqio.runtime.duties.aggregation import Aggregation as Aggregation
    from asynqio.runtime.server_config import ServerConfig as ServerConfig
    from asynqio.scheduler import Scheduler as Scheduler
    from asynqio.server import Server as Server
    from asynqio.task_actions import CancelOutcome as CancelOutcome

_HOMES = {
    "app.app": ["App"],
    "brokers": ["open_broker"],
    "brokers.contract.broker": ["Store"],
    "brokers.contract.results": ["Moved"],
    "client": ["Client"],
    "config": ["Setting", "parse_queues", "unknown_variables"],
    "core.attempts.record": ["AttemptOutcome", "AttemptRecord", "LogLine"],
    "core.explain.model": ["Explanation"],
    "core.attempts.follow": ["ProgressChange", "StateChange", "TaskEvent"],
    "core.info": [
        "DayStats",
        "GroupStats",
        "QueueStats",
        "ScheduleInfo",
        "SchedulerInfo",
        "ServerInfo",
        "StoreNode",
        "WorkerInfo",
    ],
    "core.schedules.cron": ["parse_schedule"],
    "core.durations": ["parse_seconds"],
    "core.filters": ["Filter"],
    "core.findings": ["Finding", "Severity"],
    "core.groups": ["GroupRule"],
    "core.lifecycle": ["Action", "TransferTo", "UnknownTask"],
    "core.task.message": ["TaskInfo", "TaskMessage", "TaskState"],
    "core.retry": ["ExponentialRetry", "FixedRetry", "GoRetry", "RetryByException"],
    "core.task.options": ["TaskOptions"],
    "core.schedules.next_time": ["upcoming"],
    "core.schedules.entry": ["ScheduleEntry"],
    "core.task.task": ["Task"],
    "core.schedules.firing": ["FireEvent"],
    "errors": [
        "AccessDenied",
        "AsynqioError",
        "AuthenticationFailed",
        "BadPayload",
        "BrokerError",
        "BrokerRefused",
        "BrokerUnavailable",
        "CannotStore",
        "ConfigError",
        "ConflictingOptions",
        "CorruptMessage",
        "DeadlineExceeded",
        "Directive",
        "DuplicateTask",
        "EnqueueError",
        "EntryNotFound",
        "ExecutionError",
        "HandlerExit",
        "HandlerMisuse",
        "HandlerNotFound",
        "InitializerFailed",
        "InvalidArguments",
        "InvalidFilter",
        "InvalidName",
        "InvalidOption",
        "InvalidSchedule",
        "InvalidTask",
        "LeaseExpired",
        "NotFound",
        "NotSerializable",
        "PayloadTooLarge",
        "ProcessNotStarted",
        "ProgressTooLarge",
        "QueueNotFound",
        "ResultError",
        "ResultNotKept",
        "ResultTimeout",
        "ResultTooLarge",
        "RetryIn",
        "RevokeTask",
        "ServerStateError",
        "SkipRetry",
        "StorageFull",
        "StoreReplaced",
        "TaskCancelled",
        "TaskFailed",
        "TaskIdConflict",
        "TaskNotFound",
        "TaskTimeout",
        "TooManyAttempts",
        "VersionMismatch",
        "WorkerDied",
        "WrongProcess",
        "WrongState",
    ],
    "app.task_function": ["TaskFunction"],
    "app.task_handle": ["SyncTaskHandle", "TaskHandle"],
    "inspector.inspector": ["Inspector"],
    "mux": ["Mux", "Next"],
    "inspector.bulk": ["Applied"],
    "runtime.duties.aggregation": ["Aggregation"],
    "runtime.attempts.context": ["TaskContext", "current"],
    "runtime.server_config": ["ServerConfig"],
    "scheduler": ["Scheduler"],
    "server": ["Server"],
    "task_actions": ["CancelOutcome"],
}
_HOME_OF = {name: f"asynqio.{home}" for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", "load_config", *_HOME_OF]


if not TYPE_CHECKING:  # a type checker that saw it would accept every misspelt name

    def __getattr__(name: str) -> Any:
        if name == "load_config":
            value = importlib.import_module("asynqio.config").load
        elif name in _HOME_OF:
            value = getattr(importlib.import_module(_HOME_OF[name]), name)
        else:
            raise AttributeError(f"module 'asynqio' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
