# mypy: ignore-errors
"""RQ with its SimpleWorker, its fastest worker because it does not fork for each job. No results."""

import logging

import rq
from common import age, args, command, mark, put, send, wait_for_start
from redis import Redis


def noop(to, subject, template, customer):
    mark()


def when(sent):
    age(sent)


def main():
    logging.getLogger("rq").setLevel(logging.ERROR)
    connection = Redis.from_url(args["url"])
    queue = rq.Queue(connection=connection)
    if command == "work":
        wait_for_start()
        rq.SimpleWorker([queue], connection=connection).work(logging_level="ERROR")
    elif command == "put":
        put(
            lambda payload: queue.enqueue("rq_program.noop", result_ttl=0, kwargs=payload),
            lambda payloads: queue.enqueue_many(
                [
                    rq.Queue.prepare_data("rq_program.noop", kwargs=payload, result_ttl=0)
                    for payload in payloads
                ]
            ),
        )
    else:
        send(lambda payload: queue.enqueue("rq_program.when", result_ttl=0, kwargs=payload))


if __name__ == "__main__":
    main()
