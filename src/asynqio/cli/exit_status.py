"""Exit statuses of all commands."""

from __future__ import annotations

#: The command failed.
FAILED = 1
#: The command line or the configuration is wrong, or the command refused to act. Retrying does not help.
REFUSED = 2
#: `--timeout` expired.
TIMED_OUT = 3
#: The queue, task, server or schedule does not exist.
NOT_FOUND = 4
#: Some items succeeded and some did not. Standard error names those that did not.
PARTIAL = 6
#: Ctrl-C.
INTERRUPTED = 130
