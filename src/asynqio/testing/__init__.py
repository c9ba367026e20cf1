"""Tools to test your tasks without services and without sleeping.

`app.testing` (with a memory broker) or `with isolated(app) as testing:` (with any broker) lists and runs enqueued
tasks. `FakeClock` controls time. `Flaky` is a broker that fails on demand. The pytest plugin provides the fixtures
`asynqio_clock` and `asynqio_isolated`.
"""

from asynqio.testing.clock import FakeClock
from asynqio.testing.flaky import Flaky
from asynqio.testing.inline import AppTesting, isolated

__all__ = ["AppTesting", "FakeClock", "Flaky", "isolated"]
