# mypy: ignore-errors
"""dramatiq with its default middleware, in one process with threads."""

import threading

import dramatiq
from common import age, args, mark, put, send, stand_by, what
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=args["url"])
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(to, subject, template, customer):
    mark()


@dramatiq.actor
def when(sent):
    age(sent)


if what == "work":
    stand_by()
    broker.emit_after("process_boot")
    dramatiq.Worker(broker, worker_threads=args["slots"]).start()
    threading.Event().wait()
elif what == "put":
    put(lambda payload: noop.send(**payload))
else:
    send(lambda payload: when.send(**payload))
