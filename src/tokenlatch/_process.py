"""Which process this is, whether another one still lives, and what a fork must reset.

Law: knows processes only.
"""

import os
import socket
import time
import weakref
from collections.abc import Callable
from functools import cache
from typing import Final, TypeVar

from tokenlatch._state import Holder

DYING_FOR: Final = 0.1
"""Seconds for which a killed process may still show after its lock was freed; 2 ms were seen."""


def this_process() -> Holder:
    """Return who we are."""
    return _holder(os.getpid())


@cache
def _holder(pid: int) -> Holder:
    return Holder(pid, socket.gethostname(), _started(pid))


def is_alive(holder: Holder) -> bool:
    """Tell whether that process certainly still runs on this machine.

    A number alone proves nothing (containers start at the same ones): without a start mark, no.
    """
    if holder.host != socket.gethostname() or holder.started is None:
        return False
    deadline = time.monotonic() + DYING_FOR
    while _started(holder.pid) == holder.started:
        if time.monotonic() >= deadline:
            return True
        time.sleep(0.005)
    return False


def _started(pid: int) -> str | None:
    """Return a mark of the process's start: boot and clock ticks; None when it is dead or unknown."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as status:
            words = status.read().rpartition(")")[2].split()
        if words[0] in "ZX":  # dead, but its parent has not waited for it: that may take for ever
            return None
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            return f"{boot.read().strip()[:8]}-{words[19]}"
    except (OSError, IndexError):
        return None


_resets: "weakref.WeakKeyDictionary[object, Callable[[object], None]]" = weakref.WeakKeyDictionary()


_T = TypeVar("_T")


def in_child(owner: _T, reset: Callable[[_T], None]) -> None:
    """Call ``reset(owner)`` in every forked child, while ``owner`` lives."""
    _resets[owner] = reset  # type: ignore[assignment]  # each key goes with a function for its type


def _reset_all() -> None:
    _holder.cache_clear()  # the number of a dead ancestor may be ours now
    for owner, reset in list(_resets.items()):
        reset(owner)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_all)
