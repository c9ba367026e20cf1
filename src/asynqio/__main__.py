"""`python -m asynqio` is the command `asynqio`."""

from __future__ import annotations

from asynqio.cli.main import main

if __name__ == "__main__":
    main()
