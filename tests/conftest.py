"""What all tests share: a clock to set, nothing left behind, and a word about what is missing here.

Law: no fixture of one room lives here; it goes to the conftest.py of that room.
"""

import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


# ---------------------------------------------------------------------------------------------------- what is here


@dataclass(frozen=True)
class Optional:
    """Something that some tests need and a machine need not have."""

    name: str
    needed_for: str
    how_to_get: str
    is_here: Callable[[], bool]


def interop_servers() -> Path:
    """Where tests/interop/install puts the real authorization servers."""
    return Path(os.environ.get("TOKENLATCH_INTEROP", ROOT / ".interop"))


def is_root() -> bool:
    """Root may mount a small file system and become another user."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def other_python(version: str) -> Path | None:
    """Find another interpreter: on PATH, or among those of pyenv, whose shims answer even when switched off."""
    on_path = shutil.which(f"python{version}")
    if on_path and "shims" not in Path(on_path).parts:
        return Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    return next(pyenv.glob(f"versions/{version}.*/bin/python{version}"), None)


OPTIONALS = (
    Optional(
        "redis-server",
        "RedisStore",
        "apt-get install redis-server",
        lambda: shutil.which("redis-server") is not None,
    ),
    Optional(
        "node and npm",
        "interop with oidc-provider",
        "apt-get install nodejs npm (node >= 20)",
        lambda: shutil.which("node") is not None and shutil.which("npm") is not None,
    ),
    Optional(
        "interop servers",
        "pytest -m interop",
        "tests/interop/install",
        interop_servers().is_dir,
    ),
    Optional(
        "root", "full disks, other users, bind mounts", "run as root, in a container", is_root
    ),
    Optional(
        "python3.12",
        "storms on another version",
        "put python3.12 on PATH",
        lambda: other_python("3.12") is not None,
    ),
    Optional(
        "python3.13",
        "storms on another version",
        "put python3.13 on PATH",
        lambda: other_python("3.13") is not None,
    ),
)


def pytest_report_header() -> list[str]:
    """Say at the top what is here, what is not, and how to get it."""
    here = [each.name for each in OPTIONALS if each.is_here()]
    missing = [each for each in OPTIONALS if each.name not in here]
    return [
        f"optional, here: {', '.join(here) or 'nothing'}",
        *(f"optional, missing: {o.name} for {o.needed_for}: {o.how_to_get}" for o in missing),
    ]


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count the tests that the markers left out."""
    for marker in LEFT_OUT:
        LEFT_OUT[marker] += sum(item.get_closest_marker(marker) is not None for item in items)


LEFT_OUT = {"storm": 0, "interop": 0}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was left out and how to run it."""
    for marker, count in LEFT_OUT.items():
        if count:
            terminalreporter.line(f"{count} {marker} tests were left out; run: pytest -m {marker}")


# ------------------------------------------------------------------------------------------------------- the clock


@dataclass
class Clock:
    """A clock that stands still until a test moves it; seconds since the epoch."""

    now: float = 1_750_000_000.0

    def __call__(self) -> float:
        """Return the time, as time.time does."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on, or back with a negative number."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """Give the test a clock of its own."""
    return Clock()


# --------------------------------------------------------------------------------------------- nothing left behind

GRACE = 5.0  # seconds in which a flight may finish after its test: it outlives a cancelled waiter on purpose


def lasting_threads() -> set[threading.Thread]:
    """Threads that would keep the interpreter from ending."""
    return {each for each in threading.enumerate() if not each.daemon}


def children() -> set[int]:
    """Process ids of the children, the unwaited dead among them."""
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return {child.pid for child in multiprocessing.active_children() if child.pid}
    found: set[int] = set()
    for task in tasks.iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue  # that thread ended while we looked
    # Both serve multiprocessing until the interpreter ends, whoever used it first.
    ours = (resource_tracker._resource_tracker, forkserver._forkserver)
    return found - {
        getattr(each, name, None) for each in ours for name in ("_pid", "_forkserver_pid")
    }


def command(pid: int) -> str:
    """What that child is, for the report."""
    try:
        words = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        words = ""
    return f"{pid} ({words.strip()[:120] or 'ended, but nobody waited for it'})"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a non-daemon thread or a child process."""
    threads, processes = lasting_threads(), children()
    yield
    deadline = time.monotonic() + GRACE
    for thread in lasting_threads() - threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    left = [f"thread {each.name}" for each in lasting_threads() - threads]
    left += [f"process {command(pid)}" for pid in children() - processes]
    if left:
        pytest.fail(f"The test left behind: {', '.join(sorted(left))}", pytrace=False)
