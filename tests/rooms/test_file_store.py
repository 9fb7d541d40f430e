"""The token file: rows 30, 41, 44, 46, 47, 69, 70 and 72 of the fault matrix, and what its protocol promises."""

import errno
import fcntl
import os
import pickle
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from tokenlatch import FileStore, TokenSet
from tokenlatch._format import to_json
from tokenlatch._stores import _disk, _transaction, file
from tokenlatch._stores._filesystem import network_kind
from tokenlatch.errors import LockTimeout, StoreConflict, StoreError
from tokenlatch.stores import Failure, Holder, Identity, Intent, State

WHO = Identity("https://idp.example/token", "app", "refresh_token")
FIRST = State(WHO, 1, TokenSet("a1", refresh_token="r1", expires_at=2.0, issued_at=1.0))
INTENT = Intent(1.0, Holder(1, "host"))
SECOND = FIRST.succeeded_by(TokenSet("a2", refresh_token="r2", expires_at=3.0, issued_at=2.0))
KEPT = {"token.json", "token.json.lock", "token.json.counter"}


@pytest.fixture
def path(tmp_path):
    """A path in a directory that is not there yet."""
    return tmp_path / "dir" / "token.json"


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A runtime directory of this test's own."""
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    return directory


def commit(store, *states):
    """Commit these, one after the other, in one transaction."""
    with store.transaction(5) as transaction:
        for state in states:
            transaction.commit(state)


def put(path, content):
    """Write a private file, as a holder does that dies right after."""
    path.write_bytes(content)
    path.chmod(0o600)


def files(path):
    """What lies in the directory."""
    return {each.name for each in path.parent.iterdir()}


# ---------------------------------------------------------------------------------------------- what is known already


def test_a_content_that_is_known_is_not_parsed_again(path, monkeypatch):
    """Whether it was read or written by us; what differs by a byte is, and what is closed is forgotten."""
    store = FileStore(path)
    commit(store, FIRST)
    read = []
    monkeypatch.setattr(file, "from_json", lambda plain: read.append(plain) or FIRST)
    assert store.load() is store.load()
    assert not read
    path.write_bytes(path.read_bytes() + b" ")
    store.load()
    store.load()
    assert len(read) == 1
    store.close()
    store.load()
    assert len(read) == 2


# ------------------------------------------------------------------------------------------------- one file, one lock


def test_row_30_every_spelling_is_the_same_file_and_lock(path, tmp_path, monkeypatch):
    """Link, linked directory, relative path, tilde, dots: one lock beside the real file, and the link stays a link."""
    commit(FileStore(path), FIRST)
    link, linked = tmp_path / "link.json", tmp_path / "linked"
    link.symlink_to(path)
    linked.symlink_to(path.parent)
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = [
        link,
        linked / "token.json",
        "token.json",
        "~/dir/token.json",
        path.parent / ".." / "dir" / "token.json",
    ]
    stores = [FileStore(each) for each in spellings]
    monkeypatch.chdir("/")  # a later change of directory moves nothing
    for store in stores:
        assert store.path == str(path)
        with FileStore(path).transaction(5), pytest.raises(LockTimeout), store.transaction(0):
            pass
    commit(stores[0], SECOND)
    commit(stores[2], SECOND.having(generation=3))
    assert link.is_symlink()
    assert FileStore(path).load().generation == 3
    assert files(path) == KEPT
    assert not Path(f"{link}.lock").exists()


def test_row_30_a_link_to_a_file_that_is_not_there_yet(path, tmp_path):
    """The file is made where the link points to."""
    link = tmp_path / "link.json"
    link.symlink_to(path)
    commit(FileStore(link), FIRST)
    assert link.is_symlink()
    assert not path.is_symlink()
    assert FileStore(path).load() == FIRST


def test_row_41_the_directory_is_removed_while_running(path):
    """The next transaction makes it anew, for this user alone, and the store finds it empty."""
    store = FileStore(path)
    commit(store, FIRST)
    store.load()
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()
    assert store.changed()
    assert store.load() is None
    commit(store, SECOND)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert FileStore(path).load() == SECOND


def test_row_41_the_directory_is_removed_during_a_transaction(path):
    """The commit says so; nothing is made with the modes of a library."""
    store = FileStore(path)
    commit(store, FIRST)
    with store.transaction(5) as transaction:
        transaction.reserve()
        for each in path.parent.iterdir():
            each.unlink()
        path.parent.rmdir()
        with pytest.raises(StoreError, match="No such file or directory"):
            transaction.commit(SECOND)
    assert not path.parent.exists()


def test_row_72_two_files_in_one_directory(path):
    """Two grants share nothing: not the lock, not the state, not the counter."""
    one, other = FileStore(path), FileStore(path.with_name("other.json"))
    commit(one, FIRST)
    with one.transaction(5), other.transaction(0) as transaction:
        assert transaction.state is None
        transaction.commit(SECOND)
    assert one.load() == FIRST
    assert not one.changed()
    assert other.load() == SECOND


# -------------------------------------------------------------------------------------------------------- reading


def test_row_44_a_foreign_writer_that_does_not_replace_at_once(path):
    """A reader that meets a half-written file looks again, and neither fails nor heals it away."""
    store = FileStore(path)
    commit(store, FIRST)
    whole = path.read_bytes()
    halves = threading.Event()

    def write():
        with path.open("r+b") as file:
            file.truncate(10)
            halves.set()
            while not looked.wait(0):
                pass
            file.write(whole)

    looked = threading.Event()
    real = _disk.read_private

    def read(*args, **options):
        found = real(*args, **options)
        looked.set()  # once it was read half, the writer goes on
        return found

    writer = threading.Thread(target=write)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_disk, "read_private", read)
        writer.start()
        assert halves.wait(5)
        assert store.load() == FIRST
        writer.join()
        assert files(path) == KEPT


def test_row_44_the_same_under_the_lock(path):
    """A transaction takes a half-written file for damage no sooner than a reader does."""
    store = FileStore(path)
    commit(store, FIRST)
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    mended = threading.Timer(0.015, path.write_bytes, [whole])
    mended.start()
    with store.transaction(5) as transaction:
        assert transaction.state == FIRST
    mended.join()


def write(path, content):
    """Replace the file as a transaction does, without the rest: this is about atomicity."""
    descriptor = _disk.create_private(f"{path}.next")
    _disk.write_all(descriptor, content)
    os.close(descriptor)
    _disk.replace(f"{path}.next", path)


@pytest.fixture
def _quick_turns():
    """Let threads take turns often: else each write waits for the readers."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_quick_turns")
@pytest.mark.parametrize("writes", [500, pytest.param(10_000, marks=pytest.mark.storm)])
def test_row_46_readers_without_a_lock_during_many_writes(path, writes):
    """No torn read, and nobody sees a generation go back."""
    store, stop = FileStore(path), threading.Event()
    commit(store, FIRST)
    torn = []

    def read():
        mine, last = FileStore(path), 0
        while not stop.wait(0.0003):  # or the writer would hardly get its turn
            try:
                generation = mine.load().generation
            except StoreError as error:
                torn.append(str(error))
                return
            if generation < last:
                torn.append(f"{generation} after {last}")
            last = generation

    readers = [threading.Thread(target=read) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "RETRIES", 1)  # a torn read would be seen
        for each in readers:
            each.start()
        content = to_json(FIRST)
        for number in range(2, writes + 2):
            write(path, content.replace(b'"generation": 1', b'"generation": %d' % number))
        stop.set()
        for each in readers:
            each.join()
    assert torn == []
    assert store.load().generation == writes + 1


@pytest.mark.parametrize("announced", [True, False], ids=["with the counter", "without"])
def test_row_47_two_writes_in_one_tick_of_the_clock(path, announced):
    """Same size, same modification time, and perhaps the same inode again: the change is noticed."""
    store, writer = FileStore(path), FileStore(path)
    commit(writer, FIRST)
    if not announced:
        Path(f"{path}.counter").unlink()
        Path(f"{path}.counter").mkdir()  # so that none can be made
    for number in range(2, 30):
        store.load()
        before = path.stat()
        for token in (f"b{number:03}", f"c{number:03}"):
            commit(writer, FIRST.having(generation=100 + number, tokens=TokenSet(token)))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_mtime_ns == before.st_mtime_ns
        assert store.changed()
        assert store.load().tokens.access_token == f"c{number:03}"


# --------------------------------------------------------------------------------------------------- strange systems


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p", "virtiofs"])
def test_row_69_a_network_file_system(path, monkeypatch, kind):
    """Locks may not hold there: refused before anything is made, unless it is allowed by name."""
    monkeypatch.setattr(file, "network_kind", lambda _: kind)
    with pytest.raises(StoreError, match=kind) as caught:
        commit(FileStore(path), FIRST)
    assert "allow_network=True" in str(caught.value)
    assert not path.exists()
    assert not Path(f"{path}.lock").exists()
    commit(FileStore(path, allow_network=True), FIRST)
    assert FileStore(path).load() == FIRST  # reading is harmless


def test_row_69_which_file_system_a_path_is_on(monkeypatch, tmp_path):
    """The last mount on the longest point above it counts; names with spaces are names."""
    mounts = (
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:5 / /home rw shared:1 - nfs4 server:/home rw\n"
        "3 2 0:6 / /home/my\\040disk rw - ext4 /dev/sdb rw\n"
        "4 1 0:7 / /mnt rw - ext4 /dev/sdc rw\n"
        "5 4 0:8 / /mnt rw - fuse.sshfs host: rw\n"
    )
    table = tmp_path / "mountinfo"
    table.write_text(mounts)
    real = open

    def opened(name, *args, **options):
        return real(table if name == "/proc/self/mountinfo" else name, *args, **options)

    monkeypatch.setattr("builtins.open", opened)
    network_kind.cache_clear()
    try:
        where = ["/", "/homework/x", "/home", "/home/me/x", "/home/my disk/x", "/mnt/x"]
        kinds = [network_kind(each) for each in where]
    finally:
        network_kind.cache_clear()
    assert kinds == [None, None, "nfs4", "nfs4", None, "fuse.sshfs"]


def test_row_69_no_lock_is_no_soft_lock(path, monkeypatch):
    """Where the system has no flock, there is no transaction; a marker file would lie there for ever after a crash."""

    def no_flock(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", no_flock)
    monkeypatch.setattr("filelock._unix.fcntl.flock", no_flock)
    with pytest.raises(StoreError, match="Cannot lock") as caught:
        commit(FileStore(path), FIRST)
    assert f"{path}.lock" in str(caught.value)
    assert not path.exists()


def windows(monkeypatch, failures):
    """Let os.replace fail so many times as Windows does while a reader has the file open."""
    real, left = os.replace, [failures]

    def replace(source, target):
        if left[0]:
            left[0] -= 1
            raise PermissionError(errno.EACCES, "The process cannot access the file")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(_disk.os, "name", "nt")
    return left


def test_row_70_a_sharing_violation_is_waited_for(path, monkeypatch):
    """A reader of a second is waited for; the commit succeeds."""
    store = FileStore(path)
    commit(store, FIRST)
    with store.transaction(5) as transaction:
        left = windows(monkeypatch, failures=5)
        transaction.commit(SECOND)
        monkeypatch.undo()
    assert left == [0]
    assert store.load() == SECOND
    assert files(path) == KEPT


def test_row_70_a_sharing_violation_that_does_not_end(path, monkeypatch):
    """After about a second it is an error, and the old state stands."""
    store = FileStore(path)
    commit(store, FIRST)
    with store.transaction(5) as transaction:
        windows(monkeypatch, failures=10**9)
        begin = time.monotonic()
        with pytest.raises(StoreError, match="cannot access"):
            transaction.commit(SECOND)
        monkeypatch.undo()
    assert 0.9 < time.monotonic() - begin < 5
    assert store.load() == FIRST


# --------------------------------------------------------------------------------------------- what a dead holder left


def test_a_whole_next_is_rolled_forward(path):
    """It was synced but not moved: the next holder moves it."""
    store = FileStore(path)
    commit(store, FIRST.having(intent=INTENT))
    put(Path(f"{path}.next"), to_json(SECOND))
    with store.transaction(5) as transaction:
        assert transaction.state == SECOND
    assert store.load() == SECOND
    assert files(path) == KEPT


LITTER = {
    "half": to_json(SECOND)[:-30],
    "reserved": b"\0" * 32768,
    "empty": b"",
    "the same generation": to_json(FIRST.having(failure=Failure("X", "x", 1.0, 2.0))),
    "an older one": to_json(FIRST.having(generation=0)),
    "a much newer one": to_json(FIRST.having(generation=3)),
    "another grant's": to_json(SECOND.having(identity=Identity("u", "other", "g"))),
}


@pytest.mark.parametrize("content", LITTER.values(), ids=LITTER)
def test_what_is_not_the_next_state_is_litter(path, content):
    """It is taken away, and the state stands."""
    store = FileStore(path)
    commit(store, FIRST)
    put(Path(f"{path}.next"), content)
    with store.transaction(5) as transaction:
        assert transaction.state == FIRST
    assert files(path) == KEPT


def test_a_spilled_state_is_taken_home(path, runtime):
    """Whoever comes next commits it, and takes it away; an older one is litter."""
    store = FileStore(path)
    commit(store, FIRST.having(intent=INTENT))
    with store.transaction(5) as transaction:
        spill = transaction.spill(SECOND)
    assert Path(spill).parent == runtime
    assert stat.S_IMODE(Path(spill).stat().st_mode) == 0o600
    with FileStore(path).transaction(5) as transaction:
        assert transaction.state == SECOND
        old = transaction.spill(SECOND)
    with store.transaction(5) as transaction:
        assert transaction.state == SECOND
    assert not Path(old).exists()


def test_a_spilled_state_survives_the_loss_of_the_file(path, runtime):
    """With the file gone, the copy is the newest that is left."""
    store = FileStore(path)
    with store.transaction(5) as transaction:
        transaction.spill(SECOND)
    with store.transaction(5) as transaction:
        assert transaction.state == SECOND
    assert list(runtime.iterdir()) == []


def test_a_spilled_state_that_cannot_be_taken_home_stays(path, runtime, monkeypatch):
    """While the disk is sick, nobody gets a transaction, and the only copy is not lost."""
    store = FileStore(path)
    commit(store, FIRST.having(intent=INTENT))
    with store.transaction(5) as transaction:
        transaction.spill(SECOND)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", sick)
        with pytest.raises(StoreError, match="Input/output"), store.transaction(5):
            pass
    assert len(list(runtime.iterdir())) == 1
    assert files(path) <= KEPT | {"token.json.next"}  # whole, so it may stay, too
    with store.transaction(0) as transaction:
        assert transaction.state == SECOND


def sick(*_):
    """Fail as a dying disk does."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_without_a_runtime_directory_nothing_is_spilled(path, monkeypatch):
    """There is no other place that is the user's alone and survives the process."""
    monkeypatch.setattr(file, "runtime_directory", lambda: None)
    with FileStore(path).transaction(5) as transaction:
        assert transaction.spill(FIRST) is None


def test_a_new_login_over_a_damaged_file_ends_an_old_spill(path, runtime):
    """Generations begin anew then, and an old copy would look like the next state."""
    store = FileStore(path)
    with store.transaction(5) as transaction:
        transaction.spill(SECOND)
    put(path, b"damaged")
    commit(store, FIRST)
    with store.transaction(5) as transaction:
        assert transaction.state == FIRST
    assert list(runtime.iterdir()) == []


# ------------------------------------------------------------------------------------------------- compare and swap


def test_a_note_of_a_holder_that_the_lock_did_not_keep_out_does_not_lose_a_new_token(path):
    """Its intent or failure is about the token that we spent: ours goes in. The other way round is a conflict."""
    store = FileStore(path)
    commit(store, FIRST)
    for note in (FIRST.having(intent=INTENT), FIRST.having(failure=Failure("X", "x", 1.0, None))):
        with store.transaction(5) as transaction:
            put(path, to_json(note))
            with pytest.raises(StoreConflict):
                transaction.commit(FIRST.having(unproven=True))
            transaction.commit(SECOND)
        assert store.load() == SECOND
        commit(store, FIRST)


def test_a_token_of_a_holder_that_the_lock_did_not_keep_out_stands(path):
    """A loser never destroys the winner."""
    store = FileStore(path)
    commit(store, FIRST)
    theirs = FIRST.succeeded_by(TokenSet("theirs"))
    with store.transaction(5) as transaction:
        put(path, to_json(theirs))
        with pytest.raises(StoreConflict, match="the newer state stands"):
            transaction.commit(SECOND)
    assert store.load() == theirs


def test_a_sync_that_fails_after_the_move_is_an_error_that_can_be_tried_again(path, monkeypatch):
    """The new state is seen, but may not survive a power cut: so says the error, and the retry goes through."""
    store = FileStore(path)
    commit(store, FIRST)
    with store.transaction(5) as transaction:
        with monkeypatch.context() as patch:
            patch.setattr(_disk, "sync_directory", sick)
            with pytest.raises(StoreError, match="Input/output"):
                transaction.commit(SECOND)
        assert transaction.state == SECOND
        transaction.commit(SECOND)
    assert store.load() == SECOND
    assert files(path) == KEPT


def test_what_json_cannot_say_is_saved_as_text(path):
    """A token in hand is not lost over a datetime in ``extra``; the commit after it is no conflict."""
    tokens = TokenSet("a2", extra={"at": Path("/x"), "pair": (1, 2), 3: "three"})
    store = FileStore(path)
    commit(store, FIRST, FIRST.succeeded_by(tokens), FIRST.having(generation=3))
    commit(store, FIRST.succeeded_by(tokens))
    assert dict(store.load().tokens.extra) == {"at": "/x", "pair": [1, 2], "3": "three"}


def test_a_daemon_without_standard_input_reserves_too(path):
    """There NAME.next gets descriptor 0, which is a descriptor like any other."""
    store, reserved = FileStore(path), []
    commit(store, FIRST)
    kept = os.dup(0)
    with store.transaction(5) as transaction:
        os.close(0)
        try:
            transaction.reserve()
            reserved.append((transaction._descriptor, Path(f"{path}.next").stat().st_ino))
            transaction.commit(SECOND)
        finally:
            os.dup2(kept, 0)
            os.close(kept)
    assert reserved == [(0, path.stat().st_ino)]
    assert store.load() == SECOND


def test_reserved_space_is_really_taken(path):
    """Blocks, not a hole."""
    store = FileStore(path)
    with store.transaction(5) as transaction:
        transaction.reserve()
        status = Path(f"{path}.next").stat()
        assert status.st_size >= _transaction.ROOM
        assert status.st_blocks * 512 >= _transaction.ROOM
    assert files(path) == KEPT - {"token.json", "token.json.counter"}


def test_a_store_is_pickled_as_its_settings(path):
    """Path and options travel; handles and memories do not."""
    store = FileStore(path, allow_open=True, allow_network=True)
    commit(store, FIRST)
    store.load()
    twin = pickle.loads(pickle.dumps(store))
    assert (twin.path, twin.allow_open, twin.allow_network) == (store.path, True, True)
    assert twin.load() == FIRST


def test_a_counter_that_is_cut_off_kills_nobody(path):
    """It is replaced by nobody, but if it is, the file is looked at instead."""
    store = FileStore(path)
    commit(store, FIRST)
    counter = Path(f"{path}.counter")
    store.load()
    counter.unlink()
    put(counter, b"")
    commit(FileStore(path), SECOND)
    assert store.changed()
    assert store.load() == SECOND
