"""What tests of task code need: a clock to move."""

from asynqio.testing.clock import FakeClock

__all__ = ["FakeClock"]
