"""Enqueueing, working and settling; see conftest.py."""

from __future__ import annotations

from tests.conformance.housekeeping.test_sweep import *  # noqa: F403
from tests.conformance.tasks.test_cancellation import *  # noqa: F403
from tests.conformance.tasks.test_dequeue import *  # noqa: F403
from tests.conformance.tasks.test_enqueue import *  # noqa: F403
from tests.conformance.tasks.test_expired import *  # noqa: F403
from tests.conformance.tasks.test_leases import *  # noqa: F403
from tests.conformance.tasks.test_settle import *  # noqa: F403
from tests.conformance.test_concurrency import *  # noqa: F403
from tests.conformance.test_signals import *  # noqa: F403
