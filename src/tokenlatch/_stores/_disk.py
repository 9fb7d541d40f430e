"""Private files on a disk: opened without tricks, written whole, replaced at once, and durable.

Law: knows files, not states; every failure is a StoreError that names the path and what to do.
"""

import errno
import os
import stat
import time
from contextlib import suppress
from typing import Final, TypeAlias

from tokenlatch._state import SecretBytes
from tokenlatch.errors import StoreError

LARGEST_FILE: Final = 4 << 20
PRIVATE_FILE: Final = 0o600
PRIVATE_DIRECTORY: Final = 0o700
SHARING_VIOLATION_FOR: Final = 1.0
"""Seconds for which Windows may refuse a replace because a reader has the file open."""

# No links, no leak into a child, no hanging at a FIFO. Not all systems have all: 0 changes nothing.
SAFE: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)

Signature: TypeAlias = tuple[int, int, int, int]


def failure(path: str, doing: str, problem: OSError) -> StoreError:
    """Return a StoreError for what the operating system refused."""
    advice = {
        errno.ENOSPC: "free space on that disk",
        errno.EDQUOT: "free space in that quota",
        errno.EROFS: "mount that file system writable",
        errno.EACCES: "give this user the right to write there",
        errno.EPERM: "give this user the right to write there",
        errno.EBUSY: "mount the directory, not the single file",
        errno.ELOOP: "replace the symbolic link by a regular file",
        errno.EFBIG: "raise the file size limit of this process",
    }.get(problem.errno or 0, "mend that place")
    reason = problem.strerror or type(problem).__name__
    error = StoreError(f"Cannot {doing} {path}: {reason}. Nothing is lost; {advice}.")
    error.__cause__ = problem
    return error


def read_private(path: str, *, allow_open: bool = False) -> tuple[bytes, Signature] | None:
    """Return a private regular file's content and signature, or None when there is none.

    Raises:
        StoreError: It is no regular file, not ours, open to others, or unreadable.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | SAFE)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        check_private(path, allow_open=allow_open)  # it may know better what this is
        raise failure(path, "open", problem) from problem
    try:
        status = os.fstat(descriptor)
        _check_file(path, status, allow_open=allow_open)
        content = SecretBytes()
        while chunk := SecretBytes(os.read(descriptor, LARGEST_FILE)):
            content = SecretBytes(content + chunk)
            if len(content) > LARGEST_FILE:
                raise StoreError(
                    f"{path} is larger than any token file: point the store elsewhere."
                )
        return content, signature(status)
    except OSError as problem:
        raise failure(path, "read", problem) from problem
    finally:
        os.close(descriptor)


def check_private(path: str, *, allow_open: bool = False) -> None:
    """Check a file, if there is one, without reading it.

    Raises:
        StoreError: As ``read_private``.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as problem:
        raise failure(path, "open", problem) from problem
    _check_file(path, status, allow_open=allow_open)


def signature(status: os.stat_result) -> Signature:
    """Return what changes whenever a file is replaced or written.

    Time and size do not suffice: ext4 flips between two inode numbers, and times can repeat.
    """
    return status.st_mtime_ns, status.st_ino, status.st_size, status.st_ctime_ns


def private_directory(path: str, *, allow_open: bool = False) -> None:
    """Make the directory, with missing parents, for this user alone; check one that exists.

    Raises:
        StoreError: It is not ours, others may write there, or it cannot be made.
    """
    try:
        _make_private(path)
    except OSError as problem:
        raise failure(path, "use the directory", problem) from problem
    check_directory(path, allow_open=allow_open)


def check_directory(path: str, *, allow_open: bool = False) -> None:
    """Check a directory that exists.

    Raises:
        StoreError: It is not ours, others may write there, or it cannot be looked at.
    """
    try:
        status = os.stat(path)
    except OSError as problem:
        raise failure(path, "use the directory", problem) from problem
    if not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{path} is no directory: point the store elsewhere.")
    if allow_open or os.name == "nt":
        return
    if status.st_uid not in {os.geteuid(), 0}:
        message = (
            f"The directory {path} belongs to user {status.st_uid}, who can replace the tokens: "
            "use a directory of your own."
        )
        raise StoreError(message)
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        raise StoreError(f"Others may write to the directory {path}: run chmod go-w on it.")


def _make_private(path: str) -> None:
    if os.path.isdir(path):
        return
    _make_private(os.path.dirname(path))  # os.makedirs gives parents the umask's mode
    with suppress(FileExistsError):
        os.mkdir(path, PRIVATE_DIRECTORY)


def create_private(path: str) -> int:
    """Open a new file of our own for writing; what stands there is removed first.

    Raises:
        StoreError: It cannot be made.
    """
    try:
        with suppress(FileNotFoundError):
            os.unlink(path)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFE, PRIVATE_FILE)
    except OSError as problem:
        raise failure(path, "create", problem) from problem


def mode_like(path: str) -> int:
    """Return the mode of a file that others may use too; a private one while it is not there."""
    try:
        return stat.S_IMODE(os.stat(path).st_mode) & 0o666 | PRIVATE_FILE
    except OSError:
        return PRIVATE_FILE


def give_like(path: str, target: str) -> None:
    """Give a file of ours the owner and group of ``target``, as far as this user may."""
    with suppress(OSError, AttributeError):  # Windows has no such call
        status = os.stat(target)
        os.chown(path, _owner(status), status.st_gid, follow_symlinks=False)


def succeed(descriptor: int, target: str) -> None:
    """Give a new file the mode, group and owner of the ``target`` that it is to replace.

    Raises:
        StoreError: They cannot be kept, and the owner would be locked out.
    """
    try:
        status = os.stat(target)
    except OSError:
        return  # nothing is replaced
    if os.name == "nt":
        return  # a new file has the rights of its directory there
    if os.geteuid() not in {status.st_uid, 0} and status.st_mode & 0o060 != 0o060:
        message = (
            f"{target} belongs to user {status.st_uid}, who would be locked out of the next one: "
            "run as its owner, or let its group read and write it."
        )
        raise StoreError(message)
    try:
        os.fchmod(descriptor, mode_like(target))
        os.fchown(descriptor, _owner(status), status.st_gid)
    except OSError as problem:
        raise failure(target, "keep the owner and group of", problem) from problem


def _owner(status: os.stat_result) -> int:
    return status.st_uid if os.geteuid() == 0 else -1  # -1: leave it


def allocate(descriptor: int, path: str, size: int) -> None:
    """Claim ``size`` bytes on the disk, so that a later write of as many cannot meet a full one.

    Of all ways to prepare, only this one survived a disk filling up in between on tmpfs, ext4, xfs
    and btrfs alike. Where the call is missing, the bytes are written.

    Raises:
        StoreError: There is no room.
    """
    try:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(descriptor, 0, size)
            except OSError as problem:
                if problem.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
                    raise
                write_all(descriptor, b"\0" * size)
        else:
            write_all(descriptor, b"\0" * size)
        os.fsync(descriptor)
    except OSError as problem:
        raise failure(path, "reserve space in", problem) from problem


def write_all(descriptor: int, content: bytes) -> None:
    """Make the file hold exactly this content (short writes happen)."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.ftruncate(descriptor, len(content))


def replace(source: str, target: str) -> None:
    """Move a synced file over another at once; durable after ``sync_directory``."""
    deadline = time.monotonic() + SHARING_VIOLATION_FOR
    while True:
        try:
            os.replace(source, target)
        except PermissionError:
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def sync_directory(path: str) -> None:
    """Make a rename in this directory durable, where the system can."""
    if os.name == "nt":
        return  # Windows has no such call; its rename is journalled
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(path: str) -> None:
    """Make a file that somebody else wrote durable, without what it only reserved: zeros at the end."""
    descriptor = os.open(path, os.O_RDWR | SAFE)
    try:
        os.ftruncate(descriptor, len(os.read(descriptor, LARGEST_FILE).rstrip(b"\0")))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_file(path: str, status: os.stat_result, *, allow_open: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a device")
        raise StoreError(f"{path} is {kind}, no regular file: point the store elsewhere.")
    if os.name == "nt" or allow_open:
        return
    if status.st_uid != os.geteuid():
        message = (
            f"{path} belongs to user {status.st_uid}, this process is user {os.geteuid()}: "
            "run as its owner, or use a file of your own."
        )
        raise StoreError(message)
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise StoreError(f"{path} is open to others (mode {mode:04o}): run chmod 600 on it.")


_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFLNK: "a symbolic link made after the store",
    stat.S_IFSOCK: "a socket",
}
