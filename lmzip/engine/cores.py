"""How many threads to use when nobody says."""

from __future__ import annotations

import os

__all__ = ["MAX_THREADS", "available_cores"]

MAX_THREADS = 1024


def available_cores() -> int:
    """Processors this process may use: affinity and the control group's quota respected."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(cores, _quota() or cores, MAX_THREADS))


def _quota() -> int | None:
    """Whole processors of the control group's quota (version 2, then 1), rounded up."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        try:
            with open("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", encoding="ascii") as file:
                quota = file.read().strip()
            with open("/sys/fs/cgroup/cpu/cpu.cfs_period_us", encoding="ascii") as file:
                period = file.read().strip()
        except OSError:
            return None
    if not (quota.isdigit() and period.isdigit()) or int(period) == 0:
        return None  # "max", or -1: no limit
    return max(1, -(-int(quota) // int(period)))
