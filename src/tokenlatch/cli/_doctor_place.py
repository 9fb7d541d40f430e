"""Checks of a place: can this directory keep a token file safely?

Law: works on files of its own beside the token file, and takes them away; the token file is not touched.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tokenlatch._stores import _disk
from tokenlatch._stores._filesystem import mount_of, network_kind
from tokenlatch._stores._transaction import ROOM
from tokenlatch.cli._doctor import Finding
from tokenlatch.errors import StoreError

if TYPE_CHECKING:
    from tokenlatch.cli._doctor import Level

SLOW: Final = 0.5
"""Seconds from which on saving takes longer than waiting workers expect."""

LITTLE: Final = 1 << 20
"""Bytes of free space below which it is time to say so."""

LOCK_WITHIN: Final = 20.0
"""Seconds that the second process may take to start and try."""

TRY: Final = """
import sys
from filelock import FileLock, Timeout
lock = FileLock(sys.argv[1], fallback_to_soft=False)
try:
    lock.acquire(blocking=False)
except Timeout:
    print("taken")
else:
    print("free")
"""


def place(path: str, *, allow_open: bool) -> Iterator[Finding]:
    """Check the directory of this token file."""
    directory = str(Path(path).parent)
    if not Path(directory).exists():
        found = f"{directory} is not there: the first refresh makes it, with mode 0700."
        yield Finding("warning", "directory", found)
        return
    try:
        _disk.check_directory(directory, allow_open=allow_open)
    except StoreError as problem:
        yield Finding("error", "directory", problem.message)
    else:
        mode = Path(directory).stat().st_mode & 0o7777
        yield Finding("ok", "directory", f"{directory} is yours or root's, with mode {mode:04o}.")
    yield file_system(path)
    yield space(directory)
    yield writing(path)
    yield exclusion(path)


def file_system(path: str) -> Finding:
    """Check what kind of file system this is, and that the file is not mounted by itself."""
    kind, point = mount_of(path)
    if point == path:
        found = f"{path} is mounted as a single file and cannot be replaced: mount its directory."
        return Finding("error", "file system", found)
    if network_kind(str(Path(path).parent)):
        found = (
            f"{kind} at {point} is a network file system: locks may not hold between machines. "
            "Use a local directory, or RedisStore for several machines."
        )
        return Finding("warning", "file system", found)
    return Finding("ok", "file system", f"{kind or 'unknown'}{f' at {point}' if point else ''}.")


def space(directory: str) -> Finding:
    """Check that there is room for the next token, and for a file to write it into."""
    if not hasattr(os, "statvfs"):
        return Finding("ok", "free space", "not checked: this system does not tell.")
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if free < 2 * ROOM or (status.f_files and not status.f_favail):
        what = f"{free} bytes" if free < 2 * ROOM else "no inode"
        found = f"{what} free: no refresh can begin. Free space on that disk."
        return Finding("error", "free space", found)
    level: Level = "warning" if free < LITTLE else "ok"
    return Finding(level, "free space", f"{free // 1024} KiB free.")


def writing(path: str) -> Finding:
    """Do what a refresh does: reserve, write, sync, move, sync the directory; and read it back."""
    scratch = f"{path}.doctor-{os.getpid()}"
    moved, content, begin = f"{scratch}.moved", b"x" * 1000, time.monotonic()
    try:
        descriptor = _disk.create_private(scratch)
        try:
            _disk.allocate(descriptor, scratch, ROOM)
            _disk.write_all(descriptor, content)
        finally:
            os.close(descriptor)
        _disk.sync(scratch)
        _disk.replace(scratch, moved)
        _disk.sync_directory(str(Path(path).parent))
        read = _disk.read_private(moved)
    except StoreError as problem:
        return Finding("error", "writing", problem.message)
    except OSError as problem:
        return Finding("error", "writing", _disk.failure(scratch, "write", problem).message)
    finally:
        for each in (scratch, moved):
            with suppress(OSError):
                Path(each).unlink()
    took = time.monotonic() - begin
    if read is None or read[0] != content:
        return Finding("error", "writing", "What was written was not read back: mend that disk.")
    found = f"reserved, wrote, synced, moved and read back a file in {took * 1000:.1f} ms."
    return Finding("warning" if took > SLOW else "ok", "writing", found)


def exclusion(path: str) -> Finding:
    """Hold a lock, and see whether a second process is kept out until it is free."""
    from filelock import FileLock

    scratch = f"{path}.doctor-{os.getpid()}.lock"
    lock = FileLock(scratch, mode=_disk.PRIVATE_FILE, fallback_to_soft=False)
    try:
        with lock.acquire(blocking=False):
            held = _other_process_finds(scratch)
        left = _other_process_finds(scratch)
    except (OSError, NotImplementedError, subprocess.SubprocessError) as problem:
        reason = getattr(problem, "strerror", None) or type(problem).__name__
        return Finding("error", "lock", f"Cannot lock {scratch}: {reason}. Use another directory.")
    finally:
        with suppress(OSError):
            Path(scratch).unlink()
    if (held, left) == ("taken", "free"):
        return Finding("ok", "lock", "kept a second process out, and let it in when it was free.")
    found = (
        f"a second process found the lock {held} while it was held, and {left} when it was free: "
        "two processes could refresh at once here. Use another directory."
    )
    return Finding("error", "lock", found)


def _other_process_finds(lock: str) -> str:
    command = [sys.executable, "-c", TRY, lock]
    done = subprocess.run(  # noqa: S603 - this interpreter, and a script of our own
        command, capture_output=True, text=True, timeout=LOCK_WITHIN, check=True
    )
    return done.stdout.strip()
