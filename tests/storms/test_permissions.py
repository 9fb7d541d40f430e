"""Rows 31 to 35, 40 and 42 of the fault matrix: whose file it is, who may read it, and where nothing may be written.

Whatever is refused is refused before anything is sent.
"""

import mmap
import os
import stat
from pathlib import Path

import pytest

from tests.conftest import is_root
from tests.storms.mounts import NOBODY, bind, mounted, need_root, of_nobody, remount, unmount
from tests.storms.shared_grant import KEPT, SharedGrant
from tokenlatch import FileStore, TokenSet
from tokenlatch.errors import StoreError

posix = pytest.mark.skipif(os.name == "nt", reason="modes and owners are POSIX's")


@pytest.fixture
def theirs(server):
    """Give a grant in a directory of another user, with a file of that user's."""
    with of_nobody() as directory, SharedGrant(server, directory / "token.json") as grant:
        grant.seed(store=FileStore(grant.path, allow_open=True))
        for each in directory.iterdir():
            os.chown(each, NOBODY, NOBODY)
        yield grant


def look(path):
    """Return owner, group and mode."""
    status = path.lstat()
    return status.st_uid, status.st_gid, oct(stat.S_IMODE(status.st_mode))


def refused(grant, said, *words):
    """Check that an outcome is a StoreError with these words, and that nothing was sent or left."""
    assert said["error"] == "StoreError", said
    for word in words:
        assert word in said["message"]
    assert grant.server.counts.token_requests == 0
    assert grant.files() <= KEPT


def tried(grant, **options):
    """Ask for a token in this process; return the outcome as ``once`` does."""
    try:
        store = FileStore(grant.path, **options)
        return {"access_token": grant.source(store=store).token().access_token}
    except StoreError as error:
        return {"error": type(error).__name__, "message": str(error), "cause": error.__cause__}


# ------------------------------------------------------------------------------------------------- links, elsewhere


def test_row_31_the_lock_is_a_link(shared, tmp_path):
    """Nobody locks through a link: what it points to is left alone."""
    shared.seed()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock = Path(f"{shared.path}.lock")
    lock.unlink()
    lock.symlink_to(victim)
    refused(shared, tried(shared), str(lock), "symbolic link")
    assert victim.read_text() == "precious"
    assert lock.is_symlink()


@pytest.mark.storm
def test_row_31_the_file_is_a_link_to_another_users(theirs, tmp_path):
    """A link is followed once, and then the owner of what it points to counts."""
    before = theirs.path.read_bytes()
    link = tmp_path / "token.json"
    link.symlink_to(theirs.path)
    with pytest.raises(StoreError, match=f"belongs to user {NOBODY}") as caught:
        theirs.source(store=FileStore(link)).token()
    assert str(theirs.path) in str(caught.value)
    assert link.is_symlink()
    assert theirs.path.read_bytes() == before
    assert theirs.server.counts.token_requests == 0


# ----------------------------------------------------------------------------------------------------------- owners


@pytest.mark.storm
def test_row_32_the_lock_belongs_to_another_user(theirs):
    """Without the lock there is no refresh; the error names the lock file, and is PermissionError's."""
    lock = Path(f"{theirs.path}.lock")
    os.chown(lock, 0, 0)
    said = theirs.once(user=NOBODY)
    refused(theirs, said, str(lock), "Permission denied")
    assert said["cause"] == "PermissionError"


@pytest.mark.storm
def test_row_33_root_does_not_touch_another_users_file(theirs):
    """It is refused before the request, and not even a lock of root's is left to keep the owner out."""
    Path(f"{theirs.path}.lock").unlink()
    before = theirs.path.read_bytes(), look(theirs.path)
    refused(theirs, tried(theirs), f"belongs to user {NOBODY}")
    with pytest.raises(StoreError, match=f"belongs to user {NOBODY}"):
        theirs.source().seed(TokenSet("root's"))
    assert (theirs.path.read_bytes(), look(theirs.path)) == before
    assert not Path(f"{theirs.path}.lock").exists()
    assert "access_token" in theirs.once(user=NOBODY)


@pytest.mark.storm
def test_row_33_in_a_directory_that_root_shares(server):
    """The same where the directory is root's and everybody's: no lock of root's beside the file of another user."""
    with of_nobody(0o1777) as directory, SharedGrant(server, directory / "token.json") as grant:
        grant.seed(store=FileStore(grant.path, allow_open=True))
        for each in directory.iterdir():
            os.chown(each, NOBODY, NOBODY)
        os.chown(directory, 0, 0)
        Path(f"{grant.path}.lock").unlink()
        refused(grant, tried(grant), f"belongs to user {NOBODY}", str(grant.path))
        with pytest.raises(StoreError, match=f"belongs to user {NOBODY}"):
            grant.source().seed(TokenSet("root's"))
        assert not Path(f"{grant.path}.lock").exists()
        assert "access_token" in grant.once(user=NOBODY)


@pytest.mark.storm
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_row_33_root_keeps_owner_and_mode_where_it_was_allowed_in(theirs, mode):
    """With allow_open root refreshes; file and lock stay the owner's, who refreshes the next time."""
    theirs.path.chmod(mode)
    Path(f"{theirs.path}.lock").unlink()
    assert "access_token" in tried(theirs, allow_open=True)
    assert look(theirs.path) == (NOBODY, NOBODY, oct(mode))
    theirs.server.expire_now()
    expire(theirs)
    said = theirs.once(user=NOBODY, allow_open=True)
    assert said == {"access_token": theirs.state().tokens.access_token}
    assert theirs.server.counts.refreshes == 2
    assert look(theirs.path) == (NOBODY, NOBODY, oct(mode))


@pytest.mark.storm
def test_row_33_another_user_cannot_lock_the_owner_out(theirs):
    """Who may write to the directory, but not keep the owner, is refused before the request, even with allow_open."""
    theirs.path.parent.chmod(0o777)
    theirs.path.chmod(0o604)
    Path(f"{theirs.path}.lock").unlink()
    before = theirs.path.read_bytes()
    said = theirs.once(user=NOBODY - 1, allow_open=True)
    refused(theirs, said, "would be locked out")
    assert theirs.path.read_bytes() == before


@pytest.mark.storm
def test_row_33_a_group_that_shares_a_file_goes_on_sharing_it(theirs):
    """Two users of one group refresh in turn; mode and group stay."""
    theirs.path.parent.chmod(0o770)
    theirs.path.chmod(0o660)
    Path(f"{theirs.path}.lock").unlink()
    for number, user in enumerate((NOBODY - 1, NOBODY, NOBODY - 1), 1):
        said = theirs.once(user=user, group=NOBODY, allow_open=True)
        assert said == {"access_token": theirs.state().tokens.access_token}
        assert theirs.server.counts.refreshes == number
        assert look(theirs.path) == (user, NOBODY, oct(0o660))
        expire(theirs)


def expire(grant):
    """Let the access token in the file be over, as the clock would."""
    state = grant.state()
    owner, group, mode = look(grant.path)
    with FileStore(grant.path, allow_open=True).transaction(5) as transaction:
        transaction.commit(state.having(tokens=over(state.tokens)))
    os.chown(grant.path, owner, group)
    assert look(grant.path) == (owner, group, mode)


def over(tokens):
    """Return the same tokens, issued long ago."""
    return type(tokens)(
        tokens.access_token, refresh_token=tokens.refresh_token, issued_at=1.0, expires_at=2.0
    )


# ------------------------------------------------------------------------------------------------------------ modes


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o602, 0o610], ids=oct)
def test_row_34_a_file_that_others_may_use(shared, mode):
    """It is refused, for reading too, with the command that mends it; it is not changed silently."""
    shared.seed(left=1000.0)
    shared.path.chmod(mode)
    before = shared.path.read_bytes()
    refused(shared, tried(shared), str(shared.path), f"mode {mode:04o}", "chmod 600")
    assert (shared.path.read_bytes(), look(shared.path)[2]) == (before, oct(mode))
    shared.path.chmod(0o600)
    assert "access_token" in tried(shared)


@posix
@pytest.mark.parametrize("mode", [0o640, 0o644, 0o660], ids=oct)
def test_row_34_a_file_that_others_may_use_as_was_allowed(shared, mode):
    """With allow_open it is used, and stays as open as it was: no more, no less."""
    shared.seed()
    shared.path.chmod(mode)
    assert "access_token" in tried(shared, allow_open=True)
    assert shared.state().generation == 2
    assert look(shared.path)[2] == oct(mode)


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722], ids=oct)
def test_row_34_a_directory_that_others_may_write_to(shared, mode):
    """Others could replace the file: no refresh, with the command that mends it; a good token is still read."""
    tokens = shared.seed()
    shared.path.parent.chmod(mode)
    refused(shared, tried(shared), str(shared.path.parent), "chmod go-w")
    assert FileStore(shared.path).load().tokens == tokens
    assert "access_token" in tried(shared, allow_open=True)


@posix
def test_row_34_a_sticky_directory_is_fine(shared):
    """In /tmp others may write, but not replace what is ours."""
    shared.seed()
    shared.path.parent.chmod(0o1777)
    assert "access_token" in tried(shared)
    assert look(shared.path)[2] == oct(0o600)


@posix
def test_row_34_a_counter_of_another_user_is_not_mapped(shared):
    """Its owner could cut it off under the mapping, which would kill the reader."""
    if not is_root():
        pytest.skip("needs root, to make a file of another user")
    shared.seed(left=1000.0)
    os.chown(f"{shared.path}.counter", NOBODY, NOBODY)
    store = FileStore(shared.path)
    assert store.load() == shared.state()
    assert not isinstance(store._counter._map, mmap.mmap)


@posix
@pytest.mark.storm
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], ids=oct)
def test_row_35_whatever_the_umask_is(shared, umask):
    """What is made is private: new directories 0700, every file 0600."""
    answer = shared.server.issue()
    shared.path = shared.path.parent / "new" / "dir" / "token.json"
    said = shared.once(first=answer["refresh_token"], umask=umask)
    assert said == {"access_token": shared.state().tokens.access_token}
    assert {look(each)[2] for each in shared.path.parent.iterdir()} == {oct(0o600)}
    assert {look(each)[2] for each in list(shared.path.parents)[:3]} == {oct(0o700)}


# ------------------------------------------------------------------------------------------- nothing may be written


@pytest.mark.storm
def test_row_40_a_read_only_file_system(server):
    """A good token is served; a refresh is refused before the request; writable again, all is well."""
    with mounted("tmpfs") as disk, SharedGrant(server, disk / "token.json") as grant:
        tokens = grant.seed(left=1000.0)
        remount(disk, "ro")
        assert grant.source().token() == tokens
        with pytest.raises(StoreError, match="Read-only file system") as caught:
            grant.source().token(tokens.access_token)
        assert "mount that file system writable" in str(caught.value)
        assert server.counts.token_requests == 0
        remount(disk, "rw")
        assert grant.source().token(tokens.access_token) == grant.state().tokens
        assert grant.alive


@pytest.mark.storm
def test_row_40_a_directory_that_may_not_be_written_to(theirs):
    """A good token is read; a refresh is refused before the request, naming what may not be made."""
    theirs.path.parent.chmod(0o500)
    refused(theirs, theirs.once(user=NOBODY), "Permission denied", f"{theirs.path}.next")
    Path(f"{theirs.path}.lock").unlink()
    refused(theirs, theirs.once(user=NOBODY), "Permission denied", f"{theirs.path}.lock")
    state = theirs.state()
    good = type(state.tokens)("good", refresh_token=state.tokens.refresh_token)
    with FileStore(theirs.path, allow_open=True).transaction(5) as transaction:
        transaction.commit(state.having(tokens=good))
    Path(f"{theirs.path}.lock").unlink()
    assert theirs.once(user=NOBODY) == {"access_token": "good"}


@pytest.mark.storm
def test_row_42_a_single_file_that_is_mounted(shared):
    """EBUSY is met by the intent, before the request, and the error says what to mount instead."""
    need_root()
    shared.seed()
    before = shared.path.read_bytes()
    bind(shared.path)
    try:
        refused(shared, tried(shared), str(shared.path), "busy", "mount the directory")
        assert shared.path.read_bytes() == before
    finally:
        unmount(shared.path)
    assert "access_token" in tried(shared)
