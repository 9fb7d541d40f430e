"""A change counter in a small mapped file: tells for a tenth of a microsecond that the state changed.

Law: a hint and nothing more. It may be missing, stale or wrong, and then only costs a look at the
file. It is written, never through the mapping (a full disk would be a SIGBUS), and never truncated.
"""

import mmap
import os
from contextlib import suppress
from typing import Final

from tokenlatch._stores import _disk
from tokenlatch._stores._filesystem import network_kind
from tokenlatch.errors import StoreError

SIZE: Final = 8
_NONE: Final = bytes(SIZE)


class Counter:
    """Counts the commits to one state.

    It never announces where mappings are not coherent: on network file systems.

    Args:
        path: The counter's file, beside the state.
    """

    __slots__ = ("_kind", "_map", "_path", "_seen")

    def __init__(self, path: str) -> None:
        self._path = path
        self._kind: str | None = "nt" if os.name == "nt" else None  # cannot replace a mapped file
        self.forget()

    def announced(self) -> bool:
        """Tell whether a commit came after the last ``look``; one byte is enough for 255 of them."""
        # The hot path: a slice would cost as much as all the rest.
        return self._map[0] != self._seen

    def look(self) -> None:
        """Remember the count; to be called before the state is read."""
        if self._map is _NONE and self._usable():
            self._open()
        self._seen = self._map[0]

    def count(self) -> None:
        """Count one commit; to be called under the lock, after it. Never raises."""
        if not self._usable():
            return
        with suppress(OSError, StoreError):
            descriptor = self._descriptor()
            try:
                count = int.from_bytes(os.pread(descriptor, SIZE, 0), "little")
                os.pwrite(descriptor, ((count + 1) % (1 << 64)).to_bytes(SIZE, "little"), 0)
            finally:
                os.close(descriptor)
        if self._map is _NONE:
            self._open()  # the first commit made the file: from now on others are noticed

    def forget(self) -> None:
        """Let go of the mapping; another thread may just be reading it, so it is not closed."""
        self._map: mmap.mmap | bytes = _NONE
        self._seen = 0

    def _usable(self) -> bool:
        if self._kind is None:
            self._kind = network_kind(os.path.dirname(self._path)) or ""
        return not self._kind

    def _open(self) -> None:
        with suppress(OSError, ValueError, StoreError):
            descriptor = os.open(self._path, os.O_RDONLY | _disk.SAFE)
            try:
                status = os.fstat(descriptor)
                # Reading beyond the end of a mapping is a SIGBUS, and others could cut their file.
                if status.st_size == SIZE and status.st_uid == os.geteuid():
                    self._map = mmap.mmap(descriptor, SIZE, prot=mmap.PROT_READ)
            finally:
                os.close(descriptor)

    def _descriptor(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | _disk.SAFE)
        except FileNotFoundError:
            return _disk.create_private(self._path)
