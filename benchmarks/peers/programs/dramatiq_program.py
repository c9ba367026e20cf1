# mypy: ignore-errors
"""dramatiq with its default middleware, in one process with threads."""

import threading

import dramatiq
from common import age, args, command, mark, put, send, wait_for_start
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(url=args["url"])
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(to, subject, template, customer):
    mark()


@dramatiq.actor
def when(sent):
    age(sent)


if command == "work":
    wait_for_start()
    broker.emit_after("process_boot")
    dramatiq.Worker(broker, worker_threads=args["slots"]).start()
    threading.Event().wait()
elif command == "put":
    put(lambda payload: noop.send(**payload))
else:
    send(lambda payload: when.send(**payload))
