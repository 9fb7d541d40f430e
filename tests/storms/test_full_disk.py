"""Rows 36 to 39 of the fault matrix: a disk that is full, short or sick, before and after the token was spent."""

import errno
import logging
import os
import resource
import signal
import stat
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.storms.mounts import bind, fill, free, mounted, need_root, unmount
from tests.storms.shared_grant import KEPT, SharedGrant
from tokenlatch import Custom, FileStore, MemoryStore, TokenSet, TokenSource, _dance
from tokenlatch._events import Refreshed, SaveFailed, log
from tokenlatch._format import from_json, is_whole
from tokenlatch.errors import StoreError

pytestmark = pytest.mark.usefixtures("runtime")  # nothing is ever spilled into the user's own

KINDS = ("tmpfs", "ext4", "xfs", "btrfs")


@pytest.fixture(params=KINDS)
def disk(request):
    """Give a small file system of each kind."""
    with mounted(request.param) as point:
        yield point


@pytest.fixture
def grant(server, disk):
    """Give one grant in a file on that disk."""
    with SharedGrant(server, disk / "grant" / "token.json") as grant:
        yield grant


def until(condition, what, within=10.0):
    """Wait for something that another thread or process does."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.01)  # polled: no event tells when another process has saved


# ------------------------------------------------------------------------------------------------------- full disks


@pytest.mark.storm
def test_row_36_full_before_the_refresh(grant, disk):
    """Nothing is sent, the error names file and cure, the file is as it was; with room again, all is well at once."""
    grant.seed()
    before = grant.path.read_bytes()
    source = grant.source()
    fill(disk)
    with pytest.raises(StoreError, match="No space left on device") as caught:
        source.token()
    assert "free space on that disk" in str(caught.value)
    assert str(grant.path) in str(caught.value)
    assert grant.server.counts.token_requests == 0
    assert grant.path.read_bytes() == before
    assert grant.files() <= KEPT
    free(disk)
    assert source.token().access_token == grant.state().tokens.access_token
    assert grant.alive


@pytest.mark.storm
def test_row_36_full_while_the_old_token_is_good(grant, disk):
    """The old access token is served, and nothing is sent."""
    tokens = grant.seed(left=60.0)  # in the soft window
    source = grant.source()
    fill(disk)
    assert source.token() == tokens
    source.close()  # waits for the flight in the background
    assert source.token() == tokens
    source.close()
    assert grant.server.counts.token_requests == 0


@pytest.mark.storm
@pytest.mark.parametrize("hook", ["before_commit", "after_commit"])
def test_row_37_full_between_the_request_and_the_save(grant, disk, hook):
    """The answer goes into the space that was reserved: saved, durable, and read by the next process."""
    grant.seed()
    setattr(grant.server, hook, lambda: fill(disk))
    heard = []
    tokens = grant.source(on_event=heard.append).token()
    assert [type(each) for each in heard] == [Refreshed]
    assert grant.source().token() == tokens
    assert (grant.state().generation, grant.state().intent) == (2, None)
    assert grant.server.counts.token_requests == 1
    assert grant.files() <= KEPT
    assert grant.alive


@pytest.mark.storm
def test_row_37_a_long_answer_fits_too(disk):
    """What is reserved is meant for tokens of tens of kilobytes."""
    path = disk / "grant" / "token.json"
    long = TokenSet("a" * 20_000, refresh_token="r" * 4_000, expires_at=9e9)

    def log_in(_):
        fill(disk)
        return long

    with TokenSource(Custom(log_in), store=FileStore(path)) as source:
        assert source.token().access_token == long.access_token
    assert FileStore(path).load().tokens.refresh_token == long.refresh_token


# ----------------------------------------------------------------------------------------- files that may not grow


def limit_files(worker, size):
    """Let the worker write files up to this size, from now on."""
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.storm
@pytest.mark.parametrize("limit", [0, 100, 4096], ids=lambda limit: f"{limit} bytes")
def test_row_38_files_may_not_grow_before_the_refresh(shared, limit):
    """Neither intent nor reserve fits: nothing is sent, the file is as it was, and the error says why."""
    shared.seed()
    before = shared.path.read_bytes()
    worker = shared.worker()
    worker.ready()
    limit_files(worker, limit)
    said = worker.ask(do="token")
    assert said["error"] == "StoreError"
    assert "raise the file size limit" in said["message"]
    assert shared.server.counts.token_requests == 0
    assert shared.path.read_bytes() == before
    assert shared.files() <= KEPT
    limit_files(worker, resource.RLIM_INFINITY)
    assert worker.ask(do="token")["access_token"] == shared.state().tokens.access_token
    assert shared.alive


@pytest.mark.storm
def test_row_38_a_short_write_after_the_answer(shared):
    """A write that takes only 300 bytes leaves the file whole; the token is served and saved as soon as that can be."""
    shared.seed()
    worker = shared.worker()
    worker.ready()
    shared.server.after_commit = lambda: limit_files(worker, 300)
    said = worker.ask(do="token")
    assert "access_token" in said
    state = shared.state()  # whole
    assert (state.generation, state.intent.holder.pid) == (1, worker.pid)
    limit_files(worker, resource.RLIM_INFINITY)
    until(lambda: shared.state().generation == 2, "the token is saved")
    assert shared.state().tokens.access_token == said["access_token"]
    assert shared.alive


# --------------------------------------------------------------------------------------------------------- sick disks


class SickDisk:
    """Lets one system call fail with EIO in this process, for the files of one directory, while it is sick.

    Args:
        patch: pytest's monkeypatch.
        directory: Where the files lie.
        step: "fsync", "replace", or "fsync of the directory".
    """

    def __init__(self, patch, directory, step):
        self.sick, self.directory, self.step = False, directory, step
        real_fsync, real_replace = os.fsync, os.replace

        def fsync(descriptor):
            target = Path(f"/proc/self/fd/{descriptor}").readlink()
            self.check("fsync of the directory" if target == directory else "fsync", target)
            real_fsync(descriptor)

        def replace(source, target):
            self.check("replace", Path(target))
            real_replace(source, target)

        patch.setattr(os, "fsync", fsync)
        patch.setattr(os, "replace", replace)

    def check(self, step, target):
        """Fail if it is this step's turn."""
        if self.sick and step == self.step and target.is_relative_to(self.directory):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fall_ill(self):
        """From here on the step fails."""
        self.sick = True


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """Give this user a runtime directory."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    return directory


@pytest.fixture(params=["fsync", "replace", "fsync of the directory"])
def sick(request, shared, monkeypatch):
    """Give a shared grant whose disk falls ill when the server has spent the refresh token; no patience to save."""
    monkeypatch.setattr(_dance, "RESAVES", (0.01, 0.01))
    shared.seed()
    disk = SickDisk(monkeypatch, shared.path.parent, request.param)
    shared.server.after_commit = disk.fall_ill
    return disk


def no_flight():
    """Tell whether the last refresh of this process is over."""
    return all(each.name != "tokenlatch-refresh" for each in threading.enumerate())


@pytest.mark.usefixtures("sick")
def test_row_39_the_token_is_served_from_memory_and_spilled(shared, runtime, caplog):
    """The caller gets the token, the log says CRITICAL, and a private copy is whole in the runtime directory."""
    heard = []
    source = shared.source(on_event=lambda event: (heard.append(event), log(event)))
    with caplog.at_level(logging.DEBUG, "tokenlatch"):
        tokens = source.token()
    assert source.token() == tokens
    assert shared.server.counts.refreshes == 1
    (failure,) = [each for each in heard if isinstance(each, SaveFailed)]
    assert "Input/output error" in str(failure.error)
    (spill,) = runtime.iterdir()
    assert failure.spilled == str(spill)
    assert stat.S_IMODE(spill.stat().st_mode) == 0o600
    assert is_whole(spill.read_bytes())
    assert from_json(spill.read_bytes()).tokens == tokens
    (record,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert "NOT SAVED" in record.getMessage()
    until(no_flight, "the flight is over")
    assert not any(isinstance(each, Refreshed) for each in heard)


def test_row_39_another_process_without_the_copy_does_not_spend_again(shared, sick, monkeypatch):
    """It says which process holds the newer token; unless that lies whole beside the file."""
    tokens = shared.source().token()
    until(no_flight, "the flight is over")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    said = shared.once()
    if sick.step == "fsync":
        assert said["error"] == "StoreError"
        assert f"process {os.getpid()} on" in said["message"]
    else:  # NAME.next was whole, or even moved already
        assert said == {"access_token": tokens.access_token}
    assert shared.server.counts.token_requests == 1


def test_row_39_another_process_takes_the_copy(shared, sick, runtime):
    """The next transaction of whoever finds it puts it where it belongs, and takes the copy away."""
    tokens = shared.source().token()
    until(no_flight, "the flight is over")
    assert shared.once() == {"access_token": tokens.access_token}
    assert shared.server.counts.token_requests == 1
    assert (shared.state().generation, shared.state().intent) == (2, None)
    assert sick.step == "fsync of the directory" or list(runtime.iterdir()) == []


def test_row_39_this_process_saves_as_soon_as_it_can(shared, sick, runtime):
    """Each call tries again; once it is saved, the copy goes, and nothing was asked for twice."""
    source = shared.source()
    tokens = source.token()
    until(no_flight, "the flight is over")
    sick.sick = False
    source._view.disarm()
    assert source.token() == tokens
    until(lambda: shared.state().generation == 2, "the token is saved")
    until(no_flight, "the flight is over")
    assert shared.state().intent is None
    with FileStore(shared.path).transaction(5):
        pass
    assert list(runtime.iterdir()) == []
    assert shared.server.counts.token_requests == 1
    assert shared.alive


def test_row_39_a_disk_that_is_ill_for_a_moment(shared, monkeypatch, runtime):
    """A retry under the same lock saves it; the copy goes at once."""
    shared.seed()
    disk = SickDisk(monkeypatch, shared.path.parent, "replace")
    shared.server.after_commit = disk.fall_ill
    heard = []

    def listen(event):
        heard.append(type(event))
        disk.sick = False  # as soon as we hear that it failed

    tokens = shared.source(on_event=listen).token()
    until(lambda: shared.state().generation == 2, "the token is saved")
    until(no_flight, "the flight is over")
    assert shared.state().tokens == tokens
    assert heard == [SaveFailed, Refreshed]
    assert list(runtime.iterdir()) == []
    assert shared.files() <= KEPT


def test_row_39_a_store_of_ones_own_that_raises_anything(shared):
    """Whatever it raises after the answer came, the token is kept, told and tried again."""
    heard, problems = [], [ZeroDivisionError("a bug"), OSError("a disk")]

    class Clumsy(MemoryStore):
        @contextmanager
        def transaction(self, timeout):
            with super().transaction(timeout) as inner:
                real = inner.commit

                def commit(state):
                    if state.generation == 2 and problems:
                        raise problems.pop()
                    real(state)

                inner.commit = commit
                yield inner

    source = shared.source(store=Clumsy(), on_event=heard.append)
    answer = shared.server.issue()
    source.seed(TokenSet("old", refresh_token=answer["refresh_token"], expires_at=1.0))
    tokens = source.token()
    until(no_flight, "the flight is over")
    assert [type(each) for each in heard] == [SaveFailed, Refreshed]
    assert "raised OSError" in str(heard[0].error)
    assert source._view.store.load().tokens == tokens


def test_row_39_ill_at_the_reserve(shared, monkeypatch):
    """EIO before the request is an error before the request, and the intent is taken back."""
    shared.seed()
    disk = SickDisk(monkeypatch, shared.path.parent, "fsync")
    real, calls = disk.check, []

    def second(step, target):
        calls.append(step)
        disk.sick = calls.count("fsync") == 2
        real(step, target)

    disk.check = second
    with pytest.raises(StoreError, match="Input/output error"):
        shared.source().token()
    assert shared.server.counts.token_requests == 0
    assert shared.state().intent is None
    assert shared.once()["access_token"] == shared.state().tokens.access_token


def test_row_39_ill_from_the_reserve_on(shared, monkeypatch):
    """Where the intent cannot even be taken back, its own process knows that it was idle, and goes on when it can."""
    shared.seed()
    disk = SickDisk(monkeypatch, shared.path.parent, "fsync")
    real, calls = disk.check, []

    def from_the_second_on(step, target):
        calls.append(step)
        disk.sick = 2 <= calls.count("fsync") <= 4
        real(step, target)

    disk.check = from_the_second_on
    source = shared.source()
    with pytest.raises(StoreError, match="Input/output error"):
        source.token()
    assert shared.state().intent is not None
    disk.check = real
    disk.sick = False
    assert source.token().access_token == shared.state().tokens.access_token
    assert shared.server.counts.token_requests == 1


@pytest.mark.storm
def test_row_39_the_holder_dies_with_its_token_spilled(shared, runtime):
    """The file cannot be replaced any more, the worker is killed: the next process takes the copy."""
    need_root()
    shared.seed()
    bind(shared.path)  # or skip here, and not in the server's thread
    unmount(shared.path)
    shared.server.after_commit = lambda: bind(shared.path)
    worker = shared.worker()
    worker.ready()
    try:
        said = worker.ask(do="token")
        worker.signal(signal.SIGKILL)
        worker.ended()
        assert shared.once()["error"] == "StoreError"  # nor can anybody else replace it
    finally:
        unmount(shared.path)
    assert shared.once() == {"access_token": said["access_token"]}
    assert list(runtime.iterdir()) == []
    assert shared.server.counts.token_requests == 1
    assert shared.alive
