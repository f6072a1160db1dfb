"""How many cores this process may use."""

import math
import os
from pathlib import Path


def count_cores(root: Path = Path("/")) -> int:
    """Return the cores this process may run on, within the limit of its control groups.

    Args:
        root: of the file system.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    cores = len(allowed) if allowed else os.cpu_count() or 1
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return cores
    paths = [Path(line.split(":", 2)[2].lstrip("/")) for line in lines]
    for group in {group for path in paths for group in (path, *path.parents)}:
        for quota in (_quota(mount / group), _old_quota(mount / "cpu" / group)):
            cores = cores if quota == math.inf else min(cores, max(1, math.ceil(quota)))
    return cores


def _quota(group: Path) -> float:
    """Return the cores of a group's limit in version 2 of control groups."""
    try:
        most, period = (group / "cpu.max").read_text().split()
        return int(most) / int(period)
    except (OSError, ValueError):  # none, or "max"
        return math.inf


def _old_quota(group: Path) -> float:
    """Return the cores of a group's limit in version 1."""
    try:
        most, period = (
            int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period")
        )
    except (OSError, ValueError):
        return math.inf
    return most / period if most > 0 else math.inf
