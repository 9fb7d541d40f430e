"""Small file systems for tests: to fill, to remount read-only, to bind a single file. Only root may mount."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import is_root

NOBODY = 65534


def need_root() -> None:
    """Skip a test that only root can do."""
    if not is_root():
        pytest.skip("needs root, to become another user and to mount: run as root in a container")


def mount(*arguments: object) -> None:
    """Mount, or skip where a container may not."""
    command = ["mount", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")


@contextmanager
def mounted(kind: str) -> Iterator[Path]:
    """Give a small file system of this kind: 256 KiB of tmpfs, or an image on a loop device."""
    need_root()
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        point = Path(place, "disk")
        point.mkdir()
        if kind == "tmpfs":
            mount("-t", "tmpfs", "-o", "size=256k,mode=755", "none", point)
        else:
            mount("-o", "loop", made(Path(place, "image"), kind), point)
        try:
            yield point
        finally:
            unmount(point)


def made(image: Path, kind: str) -> Path:
    """Return an image with an empty file system, as small as its kind allows."""
    if not shutil.which(f"mkfs.{kind}"):
        package = {"xfs": "xfsprogs", "btrfs": "btrfs-progs"}.get(kind, kind)
        pytest.skip(f"needs mkfs.{kind}: apt-get install {package}")
    with image.open("wb") as file:
        file.truncate({"ext4": 4, "xfs": 320, "btrfs": 128}[kind] << 20)
    subprocess.run([f"mkfs.{kind}", "-q", str(image)], check=True, capture_output=True)
    return image


def remount(point: Path, how: str) -> None:
    """Make it read-only ("ro") or writable ("rw"); no file may be open for writing there."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(point)], check=True)


def bind(file: Path) -> None:
    """Mount a single file onto itself, as containers do: from then on nothing can be moved there."""
    mount("--bind", file, file)


def unmount(point: Path) -> None:
    """Undo a mount, even one that is in use."""
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def fill(directory: Path) -> None:
    """Leave not one byte free."""
    descriptor = os.open(directory / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for size in (1 << 20, 4096, 512, 1):
            with suppress(OSError):
                while True:
                    os.write(descriptor, b"x" * size)
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free(directory: Path) -> None:
    """Take back what ``fill`` took."""
    (directory / "filler").unlink()


@contextmanager
def of_nobody(mode: int = 0o700) -> Iterator[Path]:
    """Give a directory of another user, which that user can reach."""
    need_root()
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)
        directory = Path(place, "theirs")
        directory.mkdir()
        os.chown(directory, NOBODY, NOBODY)
        directory.chmod(mode)
        yield directory
