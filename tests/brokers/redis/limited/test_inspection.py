"""Reading and administering; see conftest.py."""

from __future__ import annotations

from tests.conformance.inspection.test_actions import *  # noqa: F403
from tests.conformance.inspection.test_queues import *  # noqa: F403
from tests.conformance.inspection.test_remove_queue import *  # noqa: F403
from tests.conformance.inspection.test_servers import *  # noqa: F403
from tests.conformance.inspection.test_stats import *  # noqa: F403

# They expect what INFO tells, and a scheme that follows from the name of the broker under test.
del test_nodes_lists_the_nodes_of_the_store, test_a_store_has_a_url  # noqa: F821
