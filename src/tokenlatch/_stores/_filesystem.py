"""Which kind of file system a path is on: a lock and a mapping hold on local ones only.

Law: tells what the system says, and guesses nothing: unknown is local.
"""

import os
from functools import lru_cache
from typing import Final

_NETWORK: Final = (
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse", "glusterfs", "gpfs", "lustre", "ncpfs",
    "nfs", "ocfs2", "orangefs", "pvfs2", "smb", "virtiofs", "vboxsf", "vmhgfs",
)  # fmt: skip


@lru_cache(maxsize=64)
def network_kind(path: str) -> str | None:
    """Return the network (or foreign) file system's name that holds this path; None for local ones."""
    kind, _ = mount_of(path)
    return kind if kind and kind.startswith(_NETWORK) else None


def mount_of(path: str) -> tuple[str | None, str | None]:
    """Return the kind of file system that holds this path, and where it is mounted; None: unknown."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            lines = mounts.readlines()
    except OSError:
        return None, None
    kind, found, longest = None, None, -1
    path = os.path.realpath(path)
    for line in lines:
        before, _, after = line.partition(" - ")
        point = before.split(" ")[4].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # the last mount on a point hides the ones below
            kind, found, longest = after.split(" ")[0], point, len(point)
    return kind, found
