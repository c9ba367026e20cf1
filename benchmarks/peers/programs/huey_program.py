# mypy: ignore-errors
"""huey on Redis, as a producer only. No results."""

from common import args, put
from huey import RedisHuey

huey = RedisHuey(url=args["url"], results=False)


@huey.task()
def noop(to, subject, template, customer): ...


put(lambda payload: noop(**payload))
