"""Problems of the file and its disk: free space, file system, size limit."""

from __future__ import annotations

import os
import shutil

from asynqio.brokers.sqlite.settings import Settings
from asynqio.core.findings import Finding, Severity

#: Free bytes on the disk below which to warn, and below which it is an error.
LOW_DISK, FULL_DISK = 500_000_000, 50_000_000
#: Part of `max_bytes` above which to warn.
NEARLY_FULL = 0.85
#: Network file systems: SQLite's locks and shared memory do not work on them.
NETWORK = {"nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs"}


def examine_file(settings: Settings) -> list[Finding]:
    """Problems of the file and its disk. Blocks: run it in a thread."""
    found = []
    free = _free(settings.path)
    if free < LOW_DISK:
        found.append(
            Finding(
                Severity.ERROR if free < FULL_DISK else Severity.WARNING,
                "disk-full",
                f"the disk of {settings.path} has {free // 1_000_000:,} MB left",
                "free disk space: on a full disk no task can be enqueued",
            )
        )
    kind = _file_system(settings.path)
    if kind in NETWORK:
        found.append(
            Finding(
                Severity.ERROR,
                "network-file-system",
                f"{settings.path} is on a network file system ({kind}): locks do not work there",
                "put it on a local disk; for several machines use Redis",
            )
        )
    size = os.path.getsize(settings.path)
    if settings.max_bytes and size > settings.max_bytes * NEARLY_FULL:
        found.append(
            Finding(
                Severity.WARNING,
                "file-full",
                f"{settings.path} has {size:,} of max_bytes={settings.max_bytes:,} bytes",
                "raise max_bytes, or delete archived and completed tasks",
            )
        )
    return found


def _free(path: str) -> int:
    return shutil.disk_usage(os.path.dirname(path)).free


def _file_system(path: str) -> str:
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            return file_system_of(os.path.realpath(path), mounts.read())
    except OSError:
        return ""  # not Linux


def file_system_of(path: str, mounts: str) -> str:
    """The type of the file system that contains a path, by the text of /proc/self/mounts; empty if unknown."""
    fields = (line.split() for line in mounts.splitlines())
    points = [(point, kind) for _, point, kind, *_ in fields if path.startswith(point.rstrip("/") + "/")]
    return max(points, default=("", ""), key=lambda found: len(found[0]))[1]
