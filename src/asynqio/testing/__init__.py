"""For the tests of your own tasks: no service, no sleeping.

`app.testing` (with a memory broker) or `with isolated(app) as testing:` (any app) lists what was enqueued and
runs it; `FakeClock` moves time; `Flaky` is a broker that fails on command. With pytest, the fixtures
`asynqio_clock` and `asynqio_isolated` come by themselves.
"""

from asynqio.testing.clock import FakeClock
from asynqio.testing.flaky import Flaky
from asynqio.testing.inline import AppTesting, isolated

__all__ = ["AppTesting", "FakeClock", "Flaky", "isolated"]
