"""A change counter in a small mapped file: tells for a tenth of a microsecond that the state changed.

Law: a hint and nothing more. It may be missing, stale or wrong, and then only costs a look at the
file. It is written, never through the mapping (a full disk would be a SIGBUS), and never truncated.
"""

import mmap
import os
from contextlib import suppress
from typing import Final

from tokenlatch._stores import _disk
from tokenlatch.errors import StoreError

SIZE: Final = 8


class Counter:
    """Counts the commits to one state.

    Args:
        path: The counter's file, beside the state.
        usable: False where mappings are not coherent (network file systems): never announces.
    """

    __slots__ = ("_map", "_path", "_seen", "_usable")

    def __init__(self, path: str, *, usable: bool) -> None:
        self._path = path
        self._usable = usable and os.name != "nt"  # Windows cannot replace a mapped file
        self._map: mmap.mmap | bytes = b""
        self._seen = b""

    def announced(self) -> bool:
        """Tell whether a commit came after the last ``look``."""
        return self._map[:SIZE] != self._seen

    def look(self) -> None:
        """Remember the count; to be called before the state is read."""
        if not self._usable:
            return
        if not self._map:
            self._open()
        self._seen = self._map[:SIZE]

    def count(self) -> None:
        """Count one commit; to be called under the lock, after it. Never raises."""
        if not self._usable:
            return
        with suppress(OSError, StoreError):
            descriptor = self._descriptor(create=True)
            try:
                count = int.from_bytes(os.pread(descriptor, SIZE, 0), "little")
                os.pwrite(descriptor, ((count + 1) % (1 << 64)).to_bytes(SIZE, "little"), 0)
            finally:
                os.close(descriptor)

    def close(self) -> None:
        """Give the mapping back."""
        if isinstance(self._map, mmap.mmap):
            self._map.close()
        self._map = self._seen = b""

    def _open(self) -> None:
        with suppress(OSError, ValueError, StoreError):
            descriptor = self._descriptor(create=False)
            try:
                if os.fstat(descriptor).st_size == SIZE:  # beyond the end, a mapping is a SIGBUS
                    self._map = mmap.mmap(descriptor, SIZE, prot=mmap.PROT_READ)
            finally:
                os.close(descriptor)

    def _descriptor(self, *, create: bool) -> int:
        try:
            return os.open(self._path, os.O_RDWR | _disk.SAFE)
        except FileNotFoundError:
            if not create:
                raise
            descriptor = _disk.create_private(self._path)
            os.pwrite(descriptor, b"\0" * SIZE, 0)  # real bytes: no hole to fill on a full disk
            return descriptor
