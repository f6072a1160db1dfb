"""What this process may use of its machine: cores, and the memory of a device."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # processes that only read images do without torch
    import torch


def free_memory(device: torch.device, root: Path = Path("/")) -> int | None:
    """Return the bytes that this process can still take, or None where the system does not say.

    On the CPU that is what the kernel calls available, or what the control groups (a container's or
    a scheduler's limit) leave of it; on a GPU what is free there or kept by torch for reuse; on MPS
    what is left of the most that Metal recommends.

    Args:
        device: asked.
        root: of the file system.
    """
    if device.type in ("cuda", "mps"):
        return _free_on_gpu(device)
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        available = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        return max(0, min([int(available) * 1024, *_left_in_groups(root)]))
    except (OSError, ValueError, StopIteration):  # not Linux, or a very old one
        return None


def _free_on_gpu(device: torch.device) -> int:
    import torch

    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    held = torch.mps.current_allocated_memory()
    return max(0, torch.mps.recommended_max_memory() - held)


def _left_in_groups(root: Path) -> Iterator[int]:
    """Yield the bytes left by the limit of this process's control group and of each above it."""
    mount = root / "sys/fs/cgroup"
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            folder, limit, usage = mount, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):  # version 1
            folder = mount / "memory"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        own = Path(path.lstrip("/"))
        for group in (own, *own.parents):
            try:
                most = int((folder / group / limit).read_text())
                used = int((folder / group / usage).read_text())
                stat = (folder / group / "memory.stat").read_text()
            except (OSError, ValueError):
                continue  # the host's path, not visible in a container; or "max": no limit
            counts = dict(entry.split() for entry in stat.splitlines())
            # Pages of files, such as a mapped canvas, count as used but are freed when needed.
            pages = sum(
                int(counts.get(f"total_{kind}_file", counts.get(f"{kind}_file", 0)))
                for kind in ("active", "inactive")
            )
            yield most - used + pages


def say_bytes(count: float) -> str:
    """Return bytes in words: 41.2 GiB, 350 MiB, 12 KiB."""
    if count >= 2**30:
        return f"{count / 2**30:.1f} GiB"
    return f"{count / 2**20:.0f} MiB" if count >= 2**20 else f"{count / 2**10:.0f} KiB"


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
        most = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return math.inf
    return most / period if most > 0 else math.inf
