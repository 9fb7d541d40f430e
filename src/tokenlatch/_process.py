"""Which process this is, whether another one still lives, and what a fork must reset.

Law: knows processes only.
"""

import os
import socket
import weakref
from collections.abc import Callable
from typing import TypeVar

from tokenlatch._state import Holder


def this_process() -> Holder:
    """Return who we are."""
    pid = os.getpid()
    return Holder(pid, socket.gethostname(), _started(pid))


def is_alive(holder: Holder) -> bool:
    """Tell whether that process certainly still runs on this machine.

    A number alone proves nothing (containers start at the same ones): without a start mark, no.
    """
    if holder.host != socket.gethostname() or holder.started is None:
        return False
    return _started(holder.pid) == holder.started


def _started(pid: int) -> str | None:
    """Return a mark of the process's start: boot and clock ticks; None where the system has none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as status:
            ticks = status.read().rpartition(")")[2].split()[19]
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            return f"{boot.read().strip()[:8]}-{ticks}"
    except (OSError, IndexError):
        return None


_resets: "weakref.WeakKeyDictionary[object, Callable[[object], None]]" = weakref.WeakKeyDictionary()


_T = TypeVar("_T")


def in_child(owner: _T, reset: Callable[[_T], None]) -> None:
    """Call ``reset(owner)`` in every forked child, while ``owner`` lives."""
    _resets[owner] = reset  # type: ignore[assignment]  # each key goes with a function for its type


def _reset_all() -> None:
    for owner, reset in list(_resets.items()):
        reset(owner)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_all)
