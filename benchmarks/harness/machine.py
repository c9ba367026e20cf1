"""Describes the machine."""

from __future__ import annotations

import datetime
import os
import platform
import sqlite3

import msgspec

import asynqio


def facts() -> dict[str, str]:
    """Versions and hardware that affect the results."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} CPUs, {_processor()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "msgspec": msgspec.__version__,
        "asynqio": asynqio.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
