# mypy: ignore-errors
"""Celery: one process with threads, or its `solo` pool for one slot; no results."""

from celery import Celery
from common import age, args, command, mark, put, send, wait_for_start

app = Celery("bench", broker=args["url"])
app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)


@app.task(name="noop")
def noop(to, subject, template, customer):
    mark()


@app.task(name="when")
def when(sent):
    age(sent)


if command == "work":
    wait_for_start()
    slots = args["slots"]
    pool = ["--pool", "solo"] if slots == 1 else ["--pool", "threads", "--concurrency", str(slots)]
    app.worker_main(["worker", "--loglevel", "ERROR", *pool])
elif command == "put":
    put(lambda payload: noop.delay(**payload))
else:
    send(lambda payload: when.delay(**payload))
