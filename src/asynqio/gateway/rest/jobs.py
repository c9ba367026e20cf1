"""The first routes of the Job API: create jobs, look at one, wait for its result."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.exceptions import ValidationException
from litestar.params import HeaderParameter, PathParameter, QueryParameter, RawBody

from asynqio.brokers.contract.broker import Store
from asynqio.client import Client
from asynqio.core.access.actions import Action
from asynqio.core.task.message import TaskInfo, TaskRef
from asynqio.core.task.task import Entry, Task, make_entry
from asynqio.errors import (
    AccessDenied,
    EnqueueError,
    QueueNotFound,
    ResultTimeout,
    TaskFailed,
    TaskIdConflict,
)
from asynqio.gateway.access import permits
from asynqio.gateway.errors import InvalidRequest, JobNotFound, KeyReused
from asynqio.gateway.jobs.ids import keyed_job_id, likely_queues, new_job_id
from asynqio.gateway.jobs.job import FINAL, Job, job_of, json_of
from asynqio.gateway.jobs.request import REQUEST_HEADER, NewJob, check, fingerprint, options_of
from asynqio.gateway.principals.principal import Principal
from asynqio.gateway.rest.body import decode_body
from asynqio.gateway.rest.dependencies import GatewayDependency, PrincipalDependency, StoreDependency
from asynqio.wait_for_result import wait_for_result

#: Most jobs of a batch.
LARGEST_BATCH = 1_000
#: Longest wait for a result in seconds.
LONGEST_WAIT = 60.0
_REPLAYED = {"Idempotency-Replayed": "true"}

JobId = Annotated[str, PathParameter(max_length=64, description="The id of a job: a UUID.")]
Key = Annotated[
    str | None,
    HeaderParameter(name="Idempotency-Key", description="A second request with this key creates no job."),
]


class CreatedJob(msgspec.Struct):
    """A job that was created, or that its idempotency key names."""

    job_id: str
    status: str
    job: Job


class JobResult(msgspec.Struct, omit_defaults=True):
    """The result of a job, null until it is completed."""

    job_id: str
    status: str
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""


@post("/api/v1/jobs", opt=permits(Action.ENQUEUE))
async def create_job(
    request: Request[Any, Any, Any],
    body: RawBody,
    store: StoreDependency,
    gateway: GatewayDependency,
    principal: PrincipalDependency,
    key: Key = None,
) -> Response[CreatedJob]:
    """Create a job."""
    data = decode_body(request, body, NewJob)
    if key is not None:
        if data.idempotency_key not in (None, key):
            raise InvalidRequest(["idempotency_key: differs from the header Idempotency-Key"])
        data.idempotency_key = key
    now = store.clock.now()
    check(data, now)
    id = _id(data, principal, now)
    if data.idempotency_key is not None and (known := await _find(store, id)) is not None:
        return await _replay(store, data, known)
    try:
        client = Client(store, max_payload=gateway.max_payload)
        info = await client.enqueue(Task(data.type, bytes(data.payload)), **options_of(data, id, now))
    except TaskIdConflict:
        if data.idempotency_key is None or (known := await _find(store, id)) is None:
            raise
        return await _replay(store, data, known)
    return Response(
        _created(info, data),
        status_code=201,
        headers={"Location": f"{request.scope.get('root_path', '')}/api/v1/jobs/{id}"},
    )


@post("/api/v1/jobs/batch", opt=permits(Action.ENQUEUE))
async def create_jobs(
    request: Request[Any, Any, Any],
    body: RawBody,
    store: StoreDependency,
    gateway: GatewayDependency,
) -> Response[list[CreatedJob]]:
    """Create jobs, all of them or none: if one is invalid or forbidden, the answer names it and nothing is
    created."""
    data = decode_body(request, body, list[NewJob])
    if not 0 < len(data) <= LARGEST_BATCH:
        raise InvalidRequest([f"a batch has 1 to {LARGEST_BATCH} jobs, this one has {len(data)}"])
    now = store.clock.now()
    problems: list[str] = []
    entries: list[Entry] = []
    for at, job in enumerate(data):
        try:
            entries.append(_entry(store, job, now, gateway.max_payload))
        except InvalidRequest as error:
            problems += [f"[{at}].{problem}" for problem in error.problems]
        except EnqueueError as error:
            problems.append(f"[{at}]: {error}")
        except AccessDenied as denied:
            raise denied.as_item(at) from None
    if problems:
        raise InvalidRequest(problems)
    await store.enqueue(entries)
    created = [
        _created(TaskInfo.of(entry.message, entry.state, entry.process_at or now), job)
        for entry, job in zip(entries, data, strict=True)
    ]
    return Response(created, status_code=201)


def _entry(store: Store, job: NewJob, now: float, max_payload: int) -> Entry:
    """The entry of a job of a batch. Raises InvalidRequest, InvalidTask."""
    if job.idempotency_key is not None:
        raise InvalidRequest(["idempotency_key: not in a batch"])
    check(job, now)
    task = Task(job.type, bytes(job.payload))
    entry = make_entry(task, options_of(job, new_job_id(now, job.queue), now), now, max_payload=max_payload)
    store.check(entry)
    return entry


@get("/api/v1/jobs/{job_id:str}", opt=permits(Action.READ))
async def show_job(job_id: JobId, store: StoreDependency) -> Job:
    """Show a job."""
    return await _show(store, await _existing(store, job_id))


@get("/api/v1/jobs/{job_id:str}/result", opt=permits(Action.READ_RESULT))
async def show_result(
    job_id: JobId,
    store: StoreDependency,
    wait: Annotated[
        float, QueryParameter(name="wait", ge=0, le=LONGEST_WAIT, description="Seconds to wait for the end.")
    ] = 0.0,
) -> Response[JobResult]:
    """Show the result of a job: 200 once it has ended, 202 before. `wait` waits for the end."""
    info = await _existing(store, job_id)
    try:
        info = await wait_for_result(store, info.ref, wait)
    except ResultTimeout:
        status = (await _show(store, info)).status
        return Response(JobResult(job_id, status if status not in FINAL else "processing"), status_code=202)
    except TaskFailed as failed:
        return Response(JobResult(job_id, "failed", error=failed.error))
    return Response(JobResult(job_id, "completed", json_of(info.result)))


ROUTES: list[Any] = [create_job, create_jobs, show_job, show_result]


def _id(job: NewJob, principal: Principal, now: float) -> str:
    if job.idempotency_key is not None:
        return keyed_job_id(principal.tenant, job.idempotency_key)
    return new_job_id(now, job.queue)


def _created(info: TaskInfo, job: NewJob) -> CreatedJob:
    return CreatedJob(info.id, "queued", job_of(info, [], job.idempotency_key or ""))


async def _replay(store: Store, job: NewJob, known: TaskInfo) -> Response[CreatedJob]:
    if known.headers.get(REQUEST_HEADER) != fingerprint(job):
        raise KeyReused(known.id)
    [attempts] = await store.attempts([known.ref])
    shown = job_of(known, attempts, job.idempotency_key or "")
    return Response(CreatedJob(known.id, "queued", shown), status_code=200, headers=_REPLAYED)


async def _show(store: Store, info: TaskInfo) -> Job:
    [attempts] = await store.attempts([info.ref])
    return job_of(info, attempts)


async def _existing(store: Store, id: str) -> TaskInfo:
    try:
        uuid.UUID(id)
    except ValueError:
        raise ValidationException("the id of a job is a UUID") from None
    info = await _find(store, id)
    if info is None:
        raise JobNotFound
    return info


async def _find(store: Store, id: str) -> TaskInfo | None:
    """The task of a job. Most are found in the queue that their id hints at."""
    queues = await store.queues()
    first = likely_queues(id, queues)
    others = [queue for queue in queues if queue not in first]
    for some in (first, others):
        try:
            found = await store.find([TaskRef(queue, id) for queue in some])
        except QueueNotFound:
            continue
        for info in found:
            if info is not None:
                return info
    return None
